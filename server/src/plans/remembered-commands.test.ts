import { contract } from '@planstream/shared/schemas'
import { expect, it } from 'vitest'
import { startPlanstream } from '#test/support/plans/test-planstream.js'
import { LOCAL_PRINCIPAL } from '../hub/principal.js'

/** Commands after which the oldest of a plan are forgotten. */
const MANY = 1101

it('a plan remembers its newest 1,000 commands, and refuses an older one that comes again', async () => {
	await using planstream = await startPlanstream()
	const { executor } = planstream
	const steps = [{ step_id: 'a', action: 'x', agent_type: 'scripted', input: {} }]
	const input = contract['plans.create'].input.parse({ plan_id: 'p', query: 'q', steps, start: false })
	await executor.create(LOCAL_PRINCIPAL, input)
	const ops = (index: number) => [{ op: 'update_step' as const, step_id: 'a', patch: { action: `x${index}` } }]
	const modify = (index: number) =>
		executor.command(LOCAL_PRINCIPAL, 'p', { kind: 'modify', ops: ops(index) }, { idempotency_key: `k${index}` })
	const first = await modify(0)
	expect(await modify(0)).toEqual(first)
	let last = first
	for (let index = 1; index <= MANY; index++) last = await modify(index)
	expect(await modify(MANY)).toEqual(last)
	expect(await modify(MANY - 999)).toMatchObject({ plan_id: 'p' })
	await expect(modify(0)).rejects.toMatchObject({ code: 'conflict' })
})
