import type { Connection, Planstream } from '@planstream/client'
import { applyEvent, initialPlanState, isPlanFinished, type PlanState, type PlanStatus } from '@planstream/shared'
import type { Display } from './display.js'
import { EXIT, type ExitCode } from './failure.js'

/** What to follow, and from where. */
export interface Followed {
	readonly plan_id: string
	/** A position; `start` for the whole plan. */
	readonly after: string
	/** Stay when the plan has come to its end, because it may be retried. */
	readonly always: boolean
}

/** How a plan was left. */
export interface Left {
	/** Folded from the events that were seen. */
	readonly state: PlanState
	/** Where the plan stands, also when the event that says so was before the position. */
	readonly status: PlanStatus | 'unknown'
}

/** Shows a plan until it is done or deleted, or the signal aborts. */
export async function follow(
	planstream: Planstream,
	{ plan_id, after, always }: Followed,
	display: Display,
	signal: AbortSignal,
): Promise<Left> {
	let state: PlanState = initialPlanState(plan_id, 'managed')
	let status: Left['status'] = 'unknown'
	const release = planstream.onConnection((connection) => display.say(connectionLine(connection)))
	const events = planstream.plans.events(
		{ plan_id, after, follow: always ? 'always' : 'until_done' },
		{
			signal,
			onReady: ({ plan_status, owner }) => {
				status = plan_status
				if (owner !== null) state = { ...state, owner }
				if (status === 'unknown') display.say(`There is no plan ${plan_id} yet; waiting for its first event.`)
			},
			onReset: ({ reset, from_seq, state: known }) => {
				state = known ?? initialPlanState(plan_id, 'managed')
				display.begin(state)
				display.say(`Events are missing here (${reset?.reason ?? 'reset'}); the plan goes on from event ${from_seq}.`)
			},
		},
	)
	try {
		for await (const event of events) {
			state = applyEvent(state, event)
			await display.show(state, event)
		}
	} finally {
		release()
	}
	return { state, status: isPlanFinished(state) ? state.status : status }
}

function connectionLine({ state, error }: Connection): string | null {
	return state === 'reconnecting' ? `Connection lost: ${error?.message ?? 'no reason was given.'} Reconnecting.` : null
}

/** What leaving a plan means for the exit code. */
export function exitCode({ status }: Left, signal: AbortSignal): ExitCode {
	if (signal.aborted) return EXIT.interrupted
	return status === 'completed' ? EXIT.done : EXIT.planFailed
}
