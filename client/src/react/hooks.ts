import { type FunctionComponent, useCallback, useMemo, useState, useSyncExternalStore } from 'react'
import type { Planstream } from '../client.js'
import type { ChangesInput } from '../generated/commands.js'
import type { PlanEvent } from '../generated/events.js'
import type { PlanState } from '../generated/plans.js'
import type { AgentTypes, PlanstreamFor, TypedPlanEvent } from '../typed-agents.js'
import { type ListView, type PlanView, UNKNOWN_LIST, viewOf } from './feeds.js'
import { PlanstreamProvider, type PlanstreamProviderProps, useShared } from './provider.js'

export interface UsePlanOptions {
	/**
	 * The state to show until the server is heard, as a server that rendered the page got it from `plans.get`. The subscription goes
	 * on behind its cursor. It counts once for each plan.
	 */
	readonly initialState?: PlanState | undefined
}

/**
 * A plan as it is now, through all its changes.
 *
 * @returns `state` is null until the plan is known; `error` says why nothing more comes
 * @example
 * ```tsx
 * function Progress({ plan_id }: { plan_id: string }) {
 * 	const { state } = usePlan(plan_id)
 * 	return <progress value={state?.progress ?? 0} />
 * }
 * ```
 */
export function usePlan(plan_id: string, { initialState }: UsePlanOptions = {}): Pick<PlanView, 'state' | 'error'> {
	return usePlanView(plan_id, { initial: initialState ?? null, events: false })
}

/** What is known of a plan, from the one subscription that all components share. */
function usePlanView(
	plan_id: string,
	{ initial, events }: { readonly initial: PlanState | null; readonly events: boolean },
): PlanView {
	const { feeds } = useShared()
	const [given, setGiven] = useState({ plan_id, view: viewOf(initial) })
	if (given.plan_id !== plan_id) setGiven({ plan_id, view: viewOf(initial) })
	const before = given.view
	const subscribe = useCallback(
		(listener: () => void) => feeds.plan(plan_id, before.state).subscribe(listener, { events }),
		[feeds, plan_id, before, events],
	)
	const current = (): PlanView => feeds.known(plan_id)?.view ?? before
	return useSyncExternalStore(subscribe, current, () => before)
}

export interface UsePlanEventsOptions<Item extends PlanEvent = PlanEvent> {
	/**
	 * Which events to show; what it lets through tells their type. Keep it outside the component or in `useCallback`: a new function
	 * filters all events again.
	 * @defaultValue all
	 */
	readonly filter?: ((event: PlanEvent) => event is Item) | ((event: PlanEvent) => boolean) | undefined
}

/** The events of a plan, and why no more come. */
export interface PlanEventsView<Item extends PlanEvent = PlanEvent> {
	/** In order, the newest 10,000 of the plan as far as the filter lets them through. */
	readonly events: readonly Item[]
	readonly error: Error | null
}

/**
 * The events of a plan from its start, each once and in order.
 *
 * @example
 * ```tsx
 * const isOutput = (event: PlanEvent) => event.event_type === 'step_output'
 * function Output({ plan_id }: { plan_id: string }) {
 * 	const { events } = usePlanEvents(plan_id, { filter: isOutput })
 * 	return <pre>{events.map((event) => event.data.delta).join('')}</pre>
 * }
 * ```
 */
export function usePlanEvents<Item extends PlanEvent = PlanEvent>(
	plan_id: string,
	options: UsePlanEventsOptions<Item> = {},
): PlanEventsView<Item> {
	const { filter } = options
	const { events, error } = usePlanView(plan_id, { initial: null, events: true })
	return useMemo(() => ({ events: (filter ? events.filter(filter) : events) as readonly Item[], error }), [events, error, filter])
}

/**
 * The newest plans that match, live.
 *
 * @param query - two components that ask for the same share one subscription
 * @returns `plans` is null until the list is known; `error` says why nothing more comes
 */
export function usePlans(query: ChangesInput = {}): ListView {
	const { feeds } = useShared()
	const key = JSON.stringify(query)
	const subscribe = useCallback((listener: () => void) => feeds.list(key).subscribe(listener), [feeds, key])
	const current = (): ListView => feeds.knownList(key)?.view ?? UNKNOWN_LIST
	return useSyncExternalStore(subscribe, current, () => UNKNOWN_LIST)
}

export interface PlanCommand {
	/**
	 * Sends a command.
	 *
	 * @returns its answer; undefined when it failed, and `error` says why
	 */
	readonly send: <Output>(command: (planstream: Planstream) => Promise<Output>) => Promise<Output | undefined>
	/** Whether an answer is waited for. */
	readonly pending: boolean
	/** Why the last command failed; null when it did not. */
	readonly error: Error | null
}

/**
 * Sends commands and tells what becomes of them. What they change is seen by the other hooks, because every change is an event.
 *
 * @example
 * ```tsx
 * function Pause({ plan_id }: { plan_id: string }) {
 * 	const { send, pending, error } = usePlanCommand()
 * 	return (
 * 		<button type="button" disabled={pending} title={error?.message} onClick={() => send(({ plans }) => plans.pause({ plan_id }))}>
 * 			Pause
 * 		</button>
 * 	)
 * }
 * ```
 */
export function usePlanCommand(): PlanCommand {
	const { planstream } = useShared()
	const [waiting, setWaiting] = useState(0)
	const [error, setError] = useState<Error | null>(null)
	const send = useCallback<PlanCommand['send']>(
		async (command) => {
			setWaiting((count) => count + 1)
			try {
				const answer = await command(planstream)
				setError(null)
				return answer
			} catch (thrown) {
				setError(thrown instanceof Error ? thrown : new Error(String(thrown)))
				return undefined
			} finally {
				setWaiting((count) => count - 1)
			}
		},
		[planstream],
	)
	return { send, pending: waiting > 0, error }
}

/** The provider of a client that knows its agents, and the hooks whose types tell what these take and give. */
export interface HooksFor<Agents extends AgentTypes<Agents>> {
	readonly PlanstreamProvider: FunctionComponent<
		Omit<PlanstreamProviderProps, 'client'> & { readonly client: PlanstreamFor<Agents> }
	>
	/** {@link usePlanEvents}, in which the result of a step is told by the `agent_type` beside it. */
	usePlanEvents<Item extends TypedPlanEvent<Agents> = TypedPlanEvent<Agents>>(
		plan_id: string,
		options?: {
			readonly filter?:
				| ((event: TypedPlanEvent<Agents>) => event is Item)
				| ((event: TypedPlanEvent<Agents>) => boolean)
				| undefined
		},
	): Omit<PlanEventsView, 'events'> & { readonly events: readonly Item[] }
	/** {@link usePlanCommand}, whose commands are held to what the agents take. */
	usePlanCommand(): Omit<PlanCommand, 'send'> & {
		readonly send: <Output>(command: (planstream: PlanstreamFor<Agents>) => Promise<Output>) => Promise<Output | undefined>
	}
}

/**
 * The hooks for the agents of an SDK that `planstream generate` has written.
 *
 * @example
 * ```tsx
 * import type { Agents } from './planstream'
 *
 * export const { PlanstreamProvider, usePlanEvents, usePlanCommand } = hooksFor<Agents>()
 * ```
 */
export function hooksFor<Agents extends AgentTypes<Agents>>(): HooksFor<Agents> {
	return { PlanstreamProvider, usePlanEvents, usePlanCommand } as unknown as HooksFor<Agents>
}
