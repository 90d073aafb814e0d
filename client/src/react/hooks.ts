import { type FunctionComponent, useCallback, useMemo, useState, useSyncExternalStore } from 'react'
import type { Planstream } from '../client.js'
import type { Connection } from '../connection.js'
import type { ChangesInput } from '../generated/commands.js'
import type { PlanEvent } from '../generated/events.js'
import type { PlanState } from '../generated/plans.js'
import { listOpenReviews, type OpenReview } from '../reviews.js'
import type { AgentTypes, PlanstreamFor, TypedPlanEvent } from '../typed-agents.js'
import { createView, type ListView, type PlanView, UNKNOWN_LIST } from './feeds.js'
import { PlanstreamProvider, type PlanstreamProviderProps, useShared } from './provider.js'

export interface UsePlanOptions {
	/**
	 * The state to show until the server answers, such as one from `plans.get` during server-side rendering. The subscription resumes
	 * after its cursor. Only its first value for a plan counts.
	 */
	readonly initialState?: PlanState | undefined
}

/**
 * Shows the live state of a plan.
 *
 * @returns `state` is null until the plan is loaded; `error` is the error that ended the updates. While the server is away `connection`
 * says so, and `error` stays null
 * @example
 * ```tsx
 * function Progress({ plan_id }: { plan_id: string }) {
 * 	const { state } = usePlan(plan_id)
 * 	return <progress value={state?.progress ?? 0} />
 * }
 * ```
 */
export function usePlan(plan_id: string, { initialState }: UsePlanOptions = {}): PlanStateView {
	const { state, error } = usePlanView(plan_id, { initial: initialState ?? null, events: false })
	const connection = useConnection()
	return useMemo(() => {
		return { state, reviews: state === null ? [] : listOpenReviews(state), error, connection }
	}, [state, error, connection])
}

/** The state of a plan as a component sees it. */
export interface PlanStateView extends Pick<PlanView, 'state' | 'error'>, Connected {
	/** The reviews that wait for a person. */
	readonly reviews: readonly OpenReview[]
}

interface Connected {
	/** The connection of the client, as {@link useConnection} gives it. */
	readonly connection: Connection
}

/** What a page shows while it is rendered on a server and hydrated. */
const UNCONNECTED: Connection = { state: 'idle', transport: 'websocket', error: null }

/**
 * Shows how the client is connected: while it is `reconnecting`, `error` is the failure that caused it.
 *
 * @example
 * ```tsx
 * function Offline() {
 * 	const { state, error } = useConnection()
 * 	return state === 'reconnecting' ? <p>No connection: {error?.message}</p> : null
 * }
 * ```
 */
export function useConnection(): Connection {
	const { planstream } = useShared()
	const subscribe = useCallback((listener: () => void) => planstream.onConnection(listener), [planstream])
	return useSyncExternalStore(
		subscribe,
		() => planstream.connection,
		() => UNCONNECTED,
	)
}

/** Reads a plan from the one subscription that all components share. */
function usePlanView(
	plan_id: string,
	{ initial, events }: { readonly initial: PlanState | null; readonly events: boolean },
): PlanView {
	const { feeds } = useShared()
	const [given, setGiven] = useState({ plan_id, view: createView(initial) })
	if (given.plan_id !== plan_id) setGiven({ plan_id, view: createView(initial) })
	const before = given.view
	const subscribe = useCallback(
		(listener: () => void) => feeds.openPlan(plan_id, before.state).subscribe(listener, { events }),
		[feeds, plan_id, before, events],
	)
	const current = (): PlanView => feeds.findPlan(plan_id)?.view ?? before
	return useSyncExternalStore(subscribe, current, () => before)
}

export interface UsePlanEventsOptions<Item extends PlanEvent = PlanEvent> {
	/**
	 * Selects the events to show; a type predicate narrows their type. Keep it outside the component or in `useCallback`: a new function
	 * filters all events again.
	 * @defaultValue all events
	 */
	readonly filter?: ((event: PlanEvent) => event is Item) | ((event: PlanEvent) => boolean) | undefined
}

/** The events of a plan, and the error that ended the updates. */
export interface PlanEventsView<Item extends PlanEvent = PlanEvent> extends Connected {
	/** Those of the newest 10,000 events that pass the filter, in order. */
	readonly events: readonly Item[]
	readonly error: Error | null
}

/**
 * Shows the events of a plan from its start, each once and in order.
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
	const connection = useConnection()
	const shown = useMemo(() => (filter ? events.filter(filter) : events) as readonly Item[], [events, filter])
	return useMemo(() => ({ events: shown, error, connection }), [shown, error, connection])
}

/**
 * Shows the newest plans that match, live.
 *
 * @param query - components with the same query share one subscription
 * @returns `plans` is null until the list is loaded; `error` is the error that ended the updates
 */
export function usePlans(query: ChangesInput = {}): ListView & Connected {
	const { feeds } = useShared()
	const key = JSON.stringify(query)
	const subscribe = useCallback((listener: () => void) => feeds.openList(key).subscribe(listener), [feeds, key])
	const current = (): ListView => feeds.findList(key)?.view ?? UNKNOWN_LIST
	const { plans, error } = useSyncExternalStore(subscribe, current, () => UNKNOWN_LIST)
	const connection = useConnection()
	return useMemo(() => ({ plans, error, connection }), [plans, error, connection])
}

export interface PlanCommand extends Connected {
	/**
	 * Sends a command.
	 *
	 * @returns the response; undefined if the command failed, with the reason in `error`
	 */
	readonly send: <Output>(command: (planstream: Planstream) => Promise<Output>) => Promise<Output | undefined>
	/** Whether a command is in flight. */
	readonly pending: boolean
	/** The error of the last command; null if it succeeded. */
	readonly error: Error | null
}

/**
 * Sends commands and reports their progress. The other hooks show the changes, because every change is an event.
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
	return { send, pending: waiting > 0, error, connection: useConnection() }
}

/** The provider and the hooks of a client that knows the types of its agents. */
export interface HooksFor<Agents extends AgentTypes<Agents>> {
	readonly PlanstreamProvider: FunctionComponent<
		Omit<PlanstreamProviderProps, 'client'> & { readonly client: PlanstreamFor<Agents> }
	>
	/** {@link usePlanEvents}, where `agent_type` narrows the type of a step's result. */
	usePlanEvents<Item extends TypedPlanEvent<Agents> = TypedPlanEvent<Agents>>(
		plan_id: string,
		options?: {
			readonly filter?:
				| ((event: TypedPlanEvent<Agents>) => event is Item)
				| ((event: TypedPlanEvent<Agents>) => boolean)
				| undefined
		},
	): Omit<PlanEventsView, 'events'> & { readonly events: readonly Item[] }
	/** {@link usePlanCommand}, whose commands check the inputs of the agents. */
	usePlanCommand(): Omit<PlanCommand, 'send'> & {
		readonly send: <Output>(command: (planstream: PlanstreamFor<Agents>) => Promise<Output>) => Promise<Output | undefined>
	}
}

/**
 * Types the hooks for the agents of an SDK that `planstream generate` wrote.
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
