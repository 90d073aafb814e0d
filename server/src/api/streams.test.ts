import { expect, it } from 'vitest'
import { startPlanstream } from '#test/support/plans/test-planstream.js'
import { createAnswerBudget } from '#test/support/servers/answer-budget.js'
import { LOCAL_PRINCIPAL } from '../hub/principal.js'
import { processSchedule } from '../ops/clock.js'
import { readHistory } from './streams.js'

const READERS = 100

it('pages that one event wakes are made a few at a time, and every reader gets one', async () => {
	await using planstream = await startPlanstream()
	const { hub } = planstream
	const answers = createAnswerBudget()
	const reserve = answers.reserve.bind(answers)
	let making = 0
	let most = 0
	answers.reserve = async (tenant, bytes) => {
		const room = await reserve(tenant, bytes)
		most = Math.max(most, ++making)
		return {
			[Symbol.dispose]: () => {
				making -= 1
				room[Symbol.dispose]()
			},
		}
	}
	const pages = Array.from({ length: READERS }, () =>
		readHistory({
			hub,
			answers,
			principal: LOCAL_PRINCIPAL,
			input: { plan_id: 'p', after: 'start', limit: 1000, wait_ms: 60_000 },
			signal: undefined,
			draining: new AbortController().signal,
			schedule: processSchedule,
			turns: undefined,
		}),
	)
	const event = { event_type: 'error', event_id: 'e', step_id: null, data: { code: 'c', message: 'm', fatal: false } } as const
	await hub.publish(LOCAL_PRINCIPAL, { plan_id: 'p', events: [event], sent: [event] })
	expect((await Promise.all(pages)).map(({ events }) => events.length)).toEqual(Array(READERS).fill(1))
	expect([making, most < READERS / 2]).toEqual([0, true])
})
