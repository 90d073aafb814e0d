import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { type ErrorFacts, isErrorCode, PlanstreamError } from '@planstream/shared'
import { createInput, modifyInput, planEvent, publishInput } from '@planstream/shared/schemas'
import { describe, expect, it } from 'vitest'
import { openAiCompatibleAgent } from '../../server/src/agents/openai-compatible/openai-compatible-agent.js'
import { scriptedAgent } from '../../server/src/agents/scripted.js'
import { readKeys } from '../../server/src/auth/keys.js'
import { Limits } from '../../server/src/ops/limits.js'
import { FakeOpenAi } from '../support/agents/fake-openai.js'
import { createTemporaryDirectory } from '../support/cli-process.js'
import { startPlanstream } from '../support/plans/test-planstream.js'
import { blocksIn } from './documents.js'

const blocks = blocksIn('json').map(({ place, text }) => ({ place, value: JSON.parse(text) as Record<string, unknown> }))
const withField = (name: string) => blocks.filter(({ value }) => name in value).map(({ place, value }) => [place, value] as const)

describe('JSON in the documentation', () => {
	it.each(withField('steps'))('holds a plan at %s that runs to its end', async (_place, plan) => {
		await using model = await FakeOpenAi.start()
		const agents = [scriptedAgent(), openAiCompatibleAgent({ baseUrl: model.baseUrl, model: 'double' })]
		await using planstream = await startPlanstream(agents)
		const events = await planstream.run(createInput.parse(plan))
		expect(events.at(-1)?.event_type).toBe('plan_completed')
	})

	it.each(withField('events'))('holds a publishable batch at %s', (_place, batch) => {
		expect(publishInput.safeParse({ ...batch, plan_id: 'p' })).toMatchObject({ success: true })
	})

	it.each(withField('ops'))('holds an edit at %s that a plan accepts', (_place, edit) => {
		expect(modifyInput.safeParse({ ...edit, plan_id: 'p' })).toMatchObject({ success: true })
	})

	it.each(withField('seq'))('holds an event at %s with every field in its place', (_place, event) => {
		expect(planEvent.parse(event)).toEqual(event)
	})

	it.each(withField('code'))('holds an error at %s as the server sends it', (_place, problem) => {
		const { code, detail, type: _type, title: _title, status: _status, ...facts } = problem
		if (!isErrorCode(code)) throw new Error(`${String(code)} is no error code.`)
		expect(new PlanstreamError(code, String(detail), facts satisfies ErrorFacts).toProblem()).toEqual(problem)
	})

	it.each(withField('0'))('holds a key file at %s', async (_place, keys) => {
		using directory = createTemporaryDirectory()
		const file = path.join(directory.path, 'keys.json')
		writeFileSync(file, JSON.stringify(keys))
		expect(await readKeys(file)).toEqual(keys)
	})

	it.each(withField('anonymous'))('holds a limits file at %s', (_place, document) => {
		expect(() => new Limits(document)).not.toThrow()
	})

	it('is covered completely by these tests', () => {
		const known = ['steps', 'events', 'ops', 'seq', 'code', '0', 'anonymous'].flatMap((name) => withField(name))
		expect(known).toHaveLength(blocks.length)
	})
})
