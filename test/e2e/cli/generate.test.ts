import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { root } from '../../docs/documents.js'
import { runPlanstream } from '../../support/cli-process.js'
import { createProgram, getDiagnostics } from '../../support/packages/compile.js'

const COMPILING_MS = 120_000

/** A folder below the repository, where Node finds the packages. */
mkdirSync(`${root}dist`, { recursive: true })
const folder = mkdtempSync(`${root}dist/generate-`)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const AGENTS = `
import { defineAgent } from '@planstream/server'
import * as z from 'zod'
const execute = async () => ({ data: {} })
export const agents = [
	defineAgent({
		type: 'word_count',
		input: z.object({ text: z.string(), deep: z.object({ 'a-b': z.tuple([z.string(), z.number()]) }).optional() }),
		result: z.object({ words: z.int(), kind: z.enum(['few', 'many']), rest: z.unknown(), both: z.object({ a: z.string() }).and(z.object({ b: z.string() })) }),
		execute,
	}),
	defineAgent({ type: '2nd.agent', input: z.object({ list: z.array(z.string()).default([]) }), result: z.record(z.string(), z.number()), execute }),
	{ type: 'untyped', execute },
]
`

const CONSUMER = `
import { createPlanstreamClient, type PlanEvent, type PlanSpec } from './sdk/index.js'

export const plan: PlanSpec = {
	query: 'q',
	steps: [
		{ step_id: 'a', action: 'count', agent_type: 'word_count', input: { text: 'one two' } },
		{ step_id: 'b', action: 'do', agent_type: '2nd.agent' },
		{ step_id: 'c', action: 'do', agent_type: 'untyped', input: { any: 'thing' } },
		{ step_id: 'd', action: 'do', agent_type: 'scripted', input: { updates: [{ progress: 0.5 }] } },
		// @ts-expect-error the input is needed
		{ step_id: 'e', action: 'count', agent_type: 'word_count' },
		// @ts-expect-error of another type
		{ step_id: 'f', action: 'count', agent_type: 'word_count', input: { text: 5 } },
		// @ts-expect-error no such agent
		{ step_id: 'g', action: 'count', agent_type: 'unknown' },
	],
}

export function told(event: PlanEvent): string {
	if (event.event_type === 'step_progress') return event.data.message
	if (event.event_type !== 'step_completed') return event.event_type
	const { data } = event
	switch (data.agent_type) {
		case 'word_count': {
			const words: number = data.data.words
			const kind: 'few' | 'many' = data.data.kind
			// @ts-expect-error no such field
			return words + kind + data.data.both.a + data.data.both.b + data.data.letters
		}
		case '2nd.agent':
			return String(data.data['x']?.toFixed(1))
		case 'corpus.report':
			return data.data.artifact_id
		default:
			return data.agent_type ?? 'external'
	}
}

export async function run(): Promise<void> {
	await using planstream = createPlanstreamClient({ url: 'http://localhost:3000' })
	const { plan_id } = await planstream.plans.create(plan)
	for await (const event of planstream.plans.events({ plan_id })) console.log(told(event))
	await planstream.plans.run(plan, { onEvent: (event) => console.log(told(event)) })
	await planstream.plans.pause({ plan_id })
	for (const event of (await planstream.plans.history({ plan_id })).events) console.log(told(event))
	await planstream.plans.modify({
		plan_id,
		ops: [
			{ op: 'remove_step', step_id: 'a' },
			{ op: 'add_step', step: { step_id: 'e', action: 'count', agent_type: 'word_count', input: { text: 'three' } } },
			{ op: 'update_step', step_id: 'e', patch: { input: { text: 'four' }, timeout_ms: 1000 } },
			{ op: 'update_step', step_id: 'e', patch: { agent_type: '2nd.agent', input: { list: ['five'] } } },
			// @ts-expect-error the input is needed
			{ op: 'add_step', step: { step_id: 'f', action: 'count', agent_type: 'word_count' } },
			// @ts-expect-error of another agent
			{ op: 'update_step', step_id: 'e', patch: { agent_type: 'word_count', input: { list: ['six'] } } },
			// @ts-expect-error no such agent
			{ op: 'update_step', step_id: 'e', patch: { agent_type: 'unknown' } },
		],
	})
	// @ts-expect-error no such procedure
	await planstream.plans.explode({ plan_id })
}
`

const COMPONENT = `
import { hooksFor } from '@planstream/client/react'
import { type Agents, createPlanstreamClient, type PlanEvent } from './sdk/index.js'

const { PlanstreamProvider, usePlanEvents, usePlanCommand } = hooksFor<Agents>()
const isCompleted = (event: PlanEvent) => event.event_type === 'step_completed'

export const provided: Parameters<typeof PlanstreamProvider>[0] = { client: createPlanstreamClient({ url: 'http://localhost:3000' }) }

export function Words({ plan_id }: { plan_id: string }): string {
	const { events, error } = usePlanEvents(plan_id, { filter: isCompleted })
	const { send, pending } = usePlanCommand()
	const words = events.map(({ data }) => (data.agent_type === 'word_count' ? data.data.words.toFixed() : ''))
	// @ts-expect-error nobody gives letters
	events.map(({ data }) => (data.agent_type === 'word_count' ? data.data.letters : ''))
	const input = { text: 'one' }
	void send(({ plans }) => plans.create({ query: 'q', steps: [{ step_id: 'e', action: 'count', agent_type: 'word_count', input }] }))
	// @ts-expect-error the input is needed
	void send(({ plans }) => plans.create({ query: 'q', steps: [{ step_id: 'e', action: 'count', agent_type: 'word_count' }] }))
	return pending ? 'waiting' : (error?.message ?? words.join())
}
`

function moduleOf(name: string, text: string): string {
	writeFileSync(path.join(folder, name), text)
	return path.join(folder, name)
}

describe('planstream generate', { timeout: COMPILING_MS }, () => {
	it('writes an SDK with the input and result types of the agents', async () => {
		const out = path.join(folder, 'sdk')
		const made = await runPlanstream(['generate', '--agents', moduleOf('agents.mjs', AGENTS), '--out', out])
		expect(made).toMatchObject({ code: 0, stdout: '', stderr: expect.stringContaining('Wrote ') as string })
		const sources = new Map([
			[path.join(out, 'index.ts'), readFileSync(path.join(out, 'index.ts'), 'utf8')],
			[path.join(folder, 'consumer.ts'), CONSUMER],
			[path.join(folder, 'component.ts'), COMPONENT],
		])
		const program = createProgram(sources)
		for (const name of sources.keys()) expect(getDiagnostics(program, name)).toEqual([])
	})

	it.each([
		['', /exports no agents/],
		['export const agents = [{ type: 1 }]', /exports no agents/],
		['throw new Error("broken")', /cannot be loaded: broken/],
		['const execute = () => {}\nexport default [{ type: "a", execute }, { type: "a", execute }]', /both have the type a/],
		[
			`import * as z from 'zod'\nconst list = z.object({ get next() { return list.optional() } })\nexport default [{ type: 'a', input: list, execute() {} }]`,
			/recursive and shared schemas are not supported/,
		],
	])('names the fault of the module %j', async (text, said) => {
		const failed = await runPlanstream(['generate', '--agents', moduleOf('wrong.mjs', text), '--out', folder])
		expect(failed).toMatchObject({ code: 2, stderr: expect.stringMatching(said) as string })
	})
})
