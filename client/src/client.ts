/// <reference lib="esnext.disposable" preserve="true" />

import { type Connection, ConnectionMonitor, type Release } from './connection.js'
import { makeAsyncDisposable } from './disposal.js'
import type { PlanState } from './generated/plans.js'
import { bindProcedures, type Procedures, STREAMS } from './generated/procedures.js'
import { addRetries, buildAddress, createHttpCalls } from './http.js'
import { assertInput } from './input.js'
import { type PlanstreamClientOptions, readSettings, type Settings } from './options.js'
import { createPublisher, type Publisher, type PublisherOptions } from './publisher/publisher.js'
import { ItemReader, PlanReader } from './stream-reader.js'
import { Subscription, type SubscriptionPorts, type SubscriptionTarget, type TransportChooser } from './subscription.js'
import { Lifetime } from './timing.js'
import { ChoiceMemory, chooseAfterFailure, chooseAfterStart, chooseFirst, getPageStorage } from './transports/choice.js'
import { PollTransport } from './transports/polling.js'
import { SseTransport } from './transports/sse.js'
import { getStreamSlots } from './transports/stream-slots.js'
import type { Transport } from './transports/transport.js'
import { SILENT_HEARTBEATS } from './transports/trpc-socket.js'
import { WebSocketTransport } from './transports/websocket.js'
import type { StreamRoute, Subscribing, Watching, WatchOptions } from './types.js'
import {
	buildWatchTarget,
	type RunInput,
	type RunOptions,
	type RunOutput,
	type RunPorts,
	runPlan,
	type WatchPlanOptions,
} from './watch.js'

/**
 * Wraps a generator so that `return()` and `await using` end it at once, even while the next item is awaited. A bare generator would
 * wait for that item first.
 *
 * @param begin - makes the generator, which must end when the signal aborts
 */
function makeCloseable<Item>(
	begin: (left: AbortSignal) => AsyncGenerator<Item, void, undefined>,
): AsyncGenerator<Item, void, undefined> {
	const leaving = new AbortController()
	const items = begin(leaving.signal)
	const leave = (): Promise<IteratorResult<Item, void>> => {
		leaving.abort()
		return items.return()
	}
	const iterable = {
		next: () => items.next(),
		return: leave,
		throw: (error: unknown) => {
			leaving.abort()
			return items.throw(error)
		},
		[Symbol.asyncIterator]: (): AsyncGenerator<Item, void, undefined> => generator,
	}
	const generator = makeAsyncDisposable(iterable, async () => void (await leave()))
	return generator
}

/** The procedures on plans, and the helpers built on them. */
export interface Plans extends PlanProcedures {
	/**
	 * Yields the state of a plan: first the current one, then one after each event, until the plan is done.
	 *
	 * @throws PlanstreamError when the server refuses permanently
	 * @example
	 * ```ts
	 * for await (const plan of planstream.plans.watch('plan_123')) {
	 * 	console.log(plan.status, Math.round(plan.progress * 100))
	 * }
	 * ```
	 */
	watch(plan_id: string, options?: WatchPlanOptions): AsyncGenerator<PlanState, void, undefined>
	/**
	 * Creates a plan, follows it to its end, and returns its result. Aborting the signal stops following; the plan runs on.
	 *
	 * @throws PlanstreamError `run_failed` and `run_cancelled` with `plan_id`, `cursor`, `error` and `failed_step_ids` as facts; and the
	 * errors of `plans.create`
	 * @example
	 * ```ts
	 * const { result } = await planstream.plans.run({ query: 'Why?', steps: [{ step_id: 'a', action: 'think', agent_type: 'scripted' }] })
	 * ```
	 */
	run(spec: RunInput, options?: RunOptions): Promise<RunOutput>
}

type PlanProcedures = Procedures['plans']

/** A client of one server. */
export interface Planstream extends Procedures, AsyncDisposable {
	readonly plans: Plans
	/** The current state of the connection. */
	readonly connection: Connection
	/**
	 * Calls the listener on each change of `connection`. An error that it throws is reported as uncaught and ends no subscription.
	 *
	 * @returns a function that removes the listener; it also works with `using`
	 */
	onConnection(listener: (connection: Connection) => void): Release
	/**
	 * Makes a publisher for an external plan, which runs outside the server. It retries with the client's `backoff`.
	 *
	 * @throws PlanstreamError `bad_request` for invalid options
	 * @example
	 * ```ts
	 * await using publisher = planstream.publisher('run_7')
	 * await publisher.planStarted('Which registry?', 1)
	 * await publisher.stepProgress('collect', 0.5, '2 of 4 sources')
	 * await publisher.flush()
	 * ```
	 */
	publisher(plan_id: string, options?: PublisherOptions): Publisher
	/**
	 * Ends every subscription, whose loops end as if there were no more events, and stops every publisher: flush or close publishers
	 * first. A closed client cannot be used again.
	 */
	close(): Promise<void>
}

/**
 * Makes a client. It connects on the first subscription or call.
 *
 * @throws PlanstreamError `bad_request` for invalid or contradictory options
 * @example
 * ```ts
 * const planstream = createPlanstreamClient({ url: 'http://localhost:3000' })
 * const { plan_id } = await planstream.plans.create({ query: 'Why?', steps: [{ step_id: 'a', action: 'think', agent_type: 'scripted' }] })
 * for await (const event of planstream.plans.events({ plan_id })) {
 * 	if (event.event_type === 'step_progress') console.log(event.step_id, event.data.progress)
 * }
 * ```
 */
export function createPlanstreamClient(options: PlanstreamClientOptions): Planstream {
	const settings = readSettings(options)
	const scope = new Lifetime()
	const { transports, monitor } = connect(settings)
	const ports: SubscriptionPorts = {
		...settings,
		transports,
		address: settings.url.href,
		provenAfterMs: settings.heartbeatMs,
		mayRenew: (error): error is Error => settings.token?.mayRenew(error) ?? false,
		report: (subscription, activity) => monitor.report(subscription, activity),
	}
	const open: Opening = (target) => {
		scope.assertOpen()
		assertInput(target.route.path, target.input)
		return makeCloseable((left) => new Subscription(target, ports).items(scope, left))
	}
	const call = createHttpCalls({ ...settings, scope })
	const makeId = createIdMaker()
	const publishing = { ...settings, call, scope, silenceMs: settings.heartbeatMs * SILENT_HEARTBEATS, makeId }
	const close = (): Promise<void> => {
		scope.close()
		monitor.close()
		return Promise.resolve()
	}
	const procedures = bindProcedures(addRetries(call, scope, settings), bindSubscribe(open), bindWatch(open))
	const planstream: Omit<Planstream, keyof AsyncDisposable> = {
		...procedures,
		plans: bindPlans(procedures.plans, open, { makeId, assertOpen: () => scope.assertOpen() }),
		get connection() {
			return monitor.current
		},
		onConnection: (listener) => monitor.listen(listener),
		publisher: (plan_id, publisherOptions = {}) => createPublisher(plan_id, publisherOptions, publishing),
		close,
	}
	return makeAsyncDisposable(planstream, close)
}

/** Opens one subscription. */
type Opening = <Item>(target: SubscriptionTarget<Item>) => AsyncGenerator<Item, void, undefined>

function bindSubscribe(open: Opening): Subscribing {
	return (route, input, options = {}) =>
		open({ route, input, reader: new PlanReader(options, ({ event }) => event), signal: options.signal })
}

function bindWatch(open: Opening): Watching {
	return <Item>(route: StreamRoute, input: object, { signal }: WatchOptions = {}) =>
		open({ route, input, reader: new ItemReader<Item>(), signal })
}

function bindPlans(plans: PlanProcedures, open: Opening, ports: Pick<RunPorts, 'makeId' | 'assertOpen'>): Plans {
	const watch: Plans['watch'] = (plan_id, options = {}) => open(buildWatchTarget(STREAMS['plans.events'], plan_id, options))
	return { ...plans, watch, run: (spec, options = {}) => runPlan(spec, options, { ...ports, plans, watch }) }
}

/** Builds the transports of a client and the choice between them. */
function connect({ url, transport: wanted, WebSocket, ...rest }: Settings): {
	transports: TransportChooser
	monitor: ConnectionMonitor
} {
	const memory = new ChoiceMemory({ storage: getPageStorage, url, now: Date.now })
	let choice = chooseFirst(wanted, WebSocket !== null, memory.recall())
	const poll = new PollTransport({ url, ...rest })
	const sse = new SseTransport({ url, slots: getStreamSlots(url.origin), ...rest })
	const byName: Record<Transport['name'], Transport> = {
		sse,
		poll,
		websocket: WebSocket === null ? sse : new WebSocketTransport({ url: buildWebSocketUrl(url), WebSocket, ...rest }),
	}
	const transports: TransportChooser = {
		getCurrent: () => byName[choice.transport],
		recordStart: (name) => {
			choice = chooseAfterStart(choice, name)
			memory.keep(choice)
		},
		recordFailure: (name, { heldBack }) => {
			const before = choice
			choice = chooseAfterFailure(choice, name, heldBack)
			return choice.transport !== before.transport
		},
	}
	return { transports, monitor: new ConnectionMonitor(choice.transport) }
}

/** Makes a source of ids: 128 random bits for the client, and a counter. */
function createIdMaker(): () => string {
	const bytes = crypto.getRandomValues(new Uint8Array(16))
	const unique = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
	let last = 0
	return () => `${unique}-${++last}`
}

function buildWebSocketUrl(url: URL): string {
	const address = buildAddress(url, '/trpc')
	address.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
	return address.href
}
