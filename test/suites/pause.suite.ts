import { createInput } from '@planstream/shared/schemas'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { LOCAL_PRINCIPAL } from '../../server/src/hub/principal.js'
import { openLog } from '../../server/src/log/open.js'
import type { Command } from '../../server/src/plans/rules/input.js'
import { ManualAgent } from '../support/agents/manual-agent.js'
import { ManualClock } from '../support/manual-clock.js'
import { manualTime, TestPlanstream } from '../support/plans/test-planstream.js'

const COMMANDS = {
	pause: { kind: 'pause', mode: 'drain' },
	interrupt: { kind: 'pause', mode: 'interrupt' },
	resume: { kind: 'resume' },
} as const satisfies Record<string, Command>
const MOVES = ['pause', 'interrupt', 'resume', 'end', 'fail', 'turn', 'grace'] as const
/** An interrupted attempt is fenced after this time, whatever its agent does. */
const GRACE_MS = 10_000
type Move = (typeof MOVES)[number]

const steps = ['a', 'b', 'c', 'd', 'e', 'f'].map((step_id) => ({
	step_id,
	action: 'hold',
	agent_type: 'held',
	depends_on: step_id > 'd' ? ['a'] : [],
	retry: { initial_ms: 0, max_attempts: 9 },
}))

/** Passes enough turns for an outcome to reach the log and for the steps that are then due to start. */
async function turns(): Promise<void> {
	for (let turn = 0; turn < 12; turn++) await new Promise<void>((resolve) => void setImmediate(resolve))
}

/** Plays random schedules of commands and ending attempts, with agents that obey their signal and agents that ignore it. */
export function pauseSuite(schedules: number): void {
	it(`leaves nothing running in ${schedules} schedules, half of them with agents that ignore their signal`, async () => {
		const schedule = fc.array(fc.constantFrom(...MOVES), { minLength: 10, maxLength: 30 })
		let pauses = 0
		const property = fc.asyncProperty(fc.boolean(), schedule, async (obedient, moves) => {
			const agent = new ManualAgent(obedient)
			const clock = new ManualClock()
			await using planstream = new TestPlanstream(await openLog({ kind: 'memory' }), [agent], manualTime(clock))
			planstream.hub.on('plan_paused', () => void pauses++)
			await planstream.executor.create(LOCAL_PRINCIPAL, createInput.parse({ plan_id: 'p', query: 'q', steps }))
			await agent.reaches(4)
			for (const move of moves) {
				if (move === 'grace') clock.advance(GRACE_MS)
				else await play(planstream, agent, move)
				await assertPauseHolds(planstream, agent)
			}
			for (const held of [...agent.running.values()]) held.end()
		})
		await fc.assert(property, { numRuns: schedules })
		expect(pauses).toBeGreaterThan(schedules / 2)
	})
}

async function play(planstream: TestPlanstream, agent: ManualAgent, move: Exclude<Move, 'grace'>): Promise<void> {
	const [first] = agent.running.values()
	switch (move) {
		case 'end':
			first?.end()
			return
		case 'fail':
			first?.fail()
			return
		case 'turn':
			await turns()
			return
		default:
			await planstream.executor.command(LOCAL_PRINCIPAL, 'p', COMMANDS[move]).catch((error: unknown) => {
				expect(error).toMatchObject({ code: 'illegal_transition' })
			})
	}
}

/** Asks the agents themselves, also some turns later, because only the schedule may resume the plan. */
async function assertPauseHolds({ hub }: TestPlanstream, agent: ManualAgent): Promise<void> {
	if ((await hub.state(LOCAL_PRINCIPAL, 'p'))?.status !== 'paused') return
	expect([...agent.running.keys()]).toEqual([])
	await turns()
	expect([...agent.running.keys()]).toEqual([])
}
