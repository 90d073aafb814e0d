import { createInput } from '@planstream/shared/schemas'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { LOCAL_PRINCIPAL } from '../../server/src/hub/principal.js'
import type { Command } from '../../server/src/plans/decision.js'
import { HeldAgent } from '../support/held-agent.js'
import { startPlanstream, type TestPlanstream } from '../support/planstream.js'

const COMMANDS = {
	pause: { kind: 'pause', mode: 'drain' },
	interrupt: { kind: 'pause', mode: 'interrupt' },
	resume: { kind: 'resume' },
} as const satisfies Record<string, Command>
const MOVES = ['pause', 'interrupt', 'resume', 'end', 'fail', 'turn'] as const
type Move = (typeof MOVES)[number]

const steps = ['a', 'b', 'c', 'd', 'e', 'f'].map((step_id) => ({
	step_id,
	action: 'hold',
	agent_type: 'held',
	depends_on: step_id > 'd' ? ['a'] : [],
	retry: { initial_ms: 0, max_attempts: 9 },
}))

const turn = () => new Promise<void>((resolve) => void setImmediate(resolve))

/** Random schedules of commands and of attempts that end, with agents that obey their signal and agents that do not. */
export function pauseSuite(schedules: number): void {
	it(`means that nothing runs, whatever happens in whatever order: ${schedules} schedules, half of them with deaf agents`, async () => {
		const schedule = fc.array(fc.constantFrom(...MOVES), { maxLength: 30 })
		const property = fc.asyncProperty(fc.boolean(), schedule, async (obedient, moves) => {
			const agent = new HeldAgent(obedient)
			await using planstream = await startPlanstream([agent])
			await planstream.executor.create(LOCAL_PRINCIPAL, createInput.parse({ plan_id: 'p', query: 'q', steps }))
			for (const move of moves) {
				await play(planstream, agent, move)
				await assertPauseHolds(planstream, agent)
			}
			for (const held of [...agent.running.values()]) held.end()
		})
		await fc.assert(property, { numRuns: schedules })
	})
}

async function play(planstream: TestPlanstream, agent: HeldAgent, move: Move): Promise<void> {
	const [first] = agent.running.values()
	switch (move) {
		case 'end':
			first?.end()
			return
		case 'fail':
			first?.fail()
			return
		case 'turn':
			await turn()
			return
		default:
			await planstream.executor.command(LOCAL_PRINCIPAL, 'p', COMMANDS[move]).catch((error: unknown) => {
				expect(error).toMatchObject({ code: 'illegal_transition' })
			})
	}
}

/** The agents themselves are asked, also some turns later: nobody but the schedule could have resumed the plan. */
async function assertPauseHolds({ hub }: TestPlanstream, agent: HeldAgent): Promise<void> {
	if ((await hub.state(LOCAL_PRINCIPAL, 'p'))?.status !== 'paused') return
	expect([...agent.running.keys()]).toEqual([])
	await turn()
	await turn()
	expect([...agent.running.keys()]).toEqual([])
}
