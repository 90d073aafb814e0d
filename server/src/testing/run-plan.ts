import type { PlanEvent, PlanSpec, PlanState } from '@planstream/shared'
import { createInput } from '@planstream/shared/schemas'
import type { Hub } from '../hub/hub.js'
import { LOCAL_PRINCIPAL } from '../hub/principal.js'
import { eventOf } from '../hub/stream-item.js'
import type { Executor } from '../plans/executor.js'

const RUN_MS = 30_000

/** What a plan came to. */
export interface FinishedPlan {
	readonly events: readonly PlanEvent[]
	readonly state: PlanState
}

/** Creates a plan and resolves once it is done. Rejects when that takes longer than 30 seconds. */
export async function runPlan({ hub, executor }: { hub: Hub; executor: Executor }, spec: PlanSpec): Promise<FinishedPlan> {
	const { plan_id } = await executor.create(LOCAL_PRINCIPAL, createInput.parse(spec))
	const events = await eventsOf(hub, plan_id)
	const state = await hub.state(LOCAL_PRINCIPAL, plan_id)
	if (state === null) throw new Error(`The plan ${plan_id} was deleted while it ran.`)
	return { events, state }
}

/** The plan's events from its first on, until it is done. */
export async function eventsOf(hub: Hub, plan_id: string): Promise<PlanEvent[]> {
	const signal = AbortSignal.timeout(RUN_MS)
	const request = { after: 'start', snapshot: false, follow: 'until_done', signal } as const
	const events: PlanEvent[] = []
	for await (const item of hub.subscribe(LOCAL_PRINCIPAL, plan_id, request)) {
		if (item.kind === 'event') events.push(eventOf(item.stored))
	}
	if (signal.aborted)
		throw new Error(`The plan ${plan_id} was not done after ${RUN_MS} ms; its last event was ${events.at(-1)?.event_type}.`)
	return events
}
