/// <reference lib="esnext.disposable" preserve="true" />

import { type Connection, ConnectionMonitor, type Release } from './connection.js'
import { asyncDisposable } from './disposal.js'
import type { PlanState } from './generated/plans.js'
import { bindProcedures, type Procedures, STREAMS } from './generated/procedures.js'
import { addressOf, httpCalls, persistentCalls } from './http.js'
import { type PlanstreamOptions, type Settings, settingsOf } from './options.js'
import { createPublisher, type Publisher, type PublisherOptions } from './publisher/publisher.js'
import { ItemReader, PlanReader } from './stream-reader.js'
import { Subscription, type SubscriptionPorts, type SubscriptionTarget, type TransportChooser } from './subscription.js'
import { Lifetime } from './timing.js'
import { afterFailure, afterStart, ChoiceMemory, firstChoice, pageStorage } from './transports/choice.js'
import { PollTransport } from './transports/polling.js'
import { SseTransport } from './transports/sse.js'
import { slotsFor } from './transports/stream-slots.js'
import type { Transport } from './transports/transport.js'
import { SILENT_HEARTBEATS } from './transports/trpc-socket.js'
import { WebSocketTransport } from './transports/websocket.js'
import type { StreamRoute, Subscribing, Watching, WatchOptions } from './types.js'
import {
	type RunInput,
	type RunOptions,
	type RunOutput,
	type RunPorts,
	runPlan,
	type WatchPlanOptions,
	watchTarget,
} from './watch.js'

/**
 * Items that are let go at once by `return()` and by `await using`, also while the next one is awaited: a bare generator would first
 * wait for it.
 *
 * @param begin - makes the items; they end when the signal aborts
 */
function closeable<Item>(
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
		throw: (error: unknown) => items.throw(error),
		[Symbol.asyncIterator]: (): AsyncGenerator<Item, void, undefined> => generator,
	}
	const generator = asyncDisposable(iterable, async () => void (await leave()))
	return generator
}

/** The procedures on plans, and what is made of them. */
export interface Plans extends PlanProcedures {
	/**
	 * The state of a plan: as it is now, then after each event, until the plan is done.
	 *
	 * @throws PlanstreamError when the server refuses for good
	 * @example
	 * ```ts
	 * for await (const plan of planstream.plans.watch('plan_123')) {
	 * 	console.log(plan.status, Math.round(plan.progress * 100))
	 * }
	 * ```
	 */
	watch(plan_id: string, options?: WatchPlanOptions): AsyncGenerator<PlanState, void, undefined>
	/**
	 * Creates a plan, follows it to its end, and gives its result. Aborting the signal stops the following, not the plan.
	 *
	 * @throws PlanstreamError `run_failed` and `run_cancelled` with `plan_id`, `cursor`, `error` and `failed_step_ids` as facts; what
	 * `plans.create` throws
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
	/** How the client is connected now. */
	readonly connection: Connection
	/**
	 * Tells each change of `connection`.
	 *
	 * @returns ends it; also by `using`
	 */
	onConnection(listener: (connection: Connection) => void): Release
	/**
	 * Publishes the events of a plan that is run elsewhere. The client's `backoff` goes between its attempts.
	 *
	 * @throws PlanstreamError `bad_request` for options that cannot be meant
	 * @example
	 * ```ts
	 * await using publisher = planstream.publisher('run_7')
	 * await publisher.planStarted('Which registry?', 1)
	 * await publisher.stepProgress('collect', 0.5, '2 of 4 sources')
	 * await publisher.flush()
	 * ```
	 */
	publisher(plan_id: string, options?: PublisherOptions): Publisher
	/** Ends every subscription: their loops end as if there were no more events, and stops every publisher: flush or close them before. The client is not used again. */
	close(): Promise<void>
}

/**
 * Makes a client. Nothing is opened before the first subscription or call.
 *
 * @throws PlanstreamError `bad_request` for options that contradict each other or cannot be meant
 * @example
 * ```ts
 * const planstream = createPlanstream({ url: 'http://localhost:3000' })
 * const { plan_id } = await planstream.plans.create({ query: 'Why?', steps: [{ step_id: 'a', action: 'think', agent_type: 'scripted' }] })
 * for await (const event of planstream.plans.events({ plan_id })) {
 * 	if (event.event_type === 'step_progress') console.log(event.step_id, event.data.progress)
 * }
 * ```
 */
export function createPlanstream(options: PlanstreamOptions): Planstream {
	const settings = settingsOf(options)
	const scope = new Lifetime()
	const { transports, monitor } = connect(settings)
	const ports: SubscriptionPorts = {
		...settings,
		transports,
		provenAfterMs: settings.heartbeatMs,
		mayRenew: (error): error is Error => settings.token?.mayRenew(error) ?? false,
		report: (subscription, activity) => monitor.report(subscription, activity),
	}
	const open: Opening = (target) => {
		scope.assertOpen()
		return closeable((left) => new Subscription(target, ports).items(scope, left))
	}
	const call = httpCalls({ ...settings, scope })
	const makeId = idMaker()
	const publishing = { ...settings, call, scope, silenceMs: settings.heartbeatMs * SILENT_HEARTBEATS, makeId }
	const close = (): Promise<void> => {
		scope.close()
		monitor.close()
		return Promise.resolve()
	}
	const procedures = bindProcedures(persistentCalls(call, scope, settings), subscribing(open), watching(open))
	const planstream: Omit<Planstream, keyof AsyncDisposable> = {
		...procedures,
		plans: plansOf(procedures.plans, open, { makeId, assertOpen: () => scope.assertOpen() }),
		get connection() {
			return monitor.current
		},
		onConnection: (listener) => monitor.listen(listener),
		publisher: (plan_id, publisherOptions = {}) => createPublisher(plan_id, publisherOptions, publishing),
		close,
	}
	return asyncDisposable(planstream, close)
}

/** Opens one subscription. */
type Opening = <Item>(target: SubscriptionTarget<Item>) => AsyncGenerator<Item, void, undefined>

function subscribing(open: Opening): Subscribing {
	return (route, input, options = {}) =>
		open({ route, input, reader: new PlanReader(options, ({ event }) => event), signal: options.signal })
}

function watching(open: Opening): Watching {
	return <Item>(route: StreamRoute, input: object, { signal }: WatchOptions = {}) =>
		open({ route, input, reader: new ItemReader<Item>(), signal })
}

function plansOf(plans: PlanProcedures, open: Opening, ports: Pick<RunPorts, 'makeId' | 'assertOpen'>): Plans {
	const watch: Plans['watch'] = (plan_id, options = {}) => open(watchTarget(STREAMS['plans.events'], plan_id, options))
	return { ...plans, watch, run: (spec, options = {}) => runPlan(spec, options, { ...ports, plans, watch }) }
}

/** The transports of a client and the choice between them. */
function connect({ url, transport: wanted, WebSocket, ...rest }: Settings): {
	transports: TransportChooser
	monitor: ConnectionMonitor
} {
	const memory = new ChoiceMemory({ storage: pageStorage, url, now: Date.now })
	let choice = firstChoice(wanted, WebSocket !== null, memory.recall())
	const poll = new PollTransport({ url, ...rest })
	const sse = new SseTransport({ url, slots: slotsFor(url.origin), ...rest })
	const byName: Record<Transport['name'], Transport> = {
		sse,
		poll,
		websocket: WebSocket === null ? sse : new WebSocketTransport({ url: webSocketUrl(url), WebSocket, ...rest }),
	}
	const transports: TransportChooser = {
		current: () => byName[choice.transport],
		worked: (name) => {
			choice = afterStart(choice, name)
			memory.keep(choice)
		},
		failed: (name, { heldBack }) => {
			const before = choice
			choice = afterFailure(choice, name, heldBack)
			return choice.transport !== before.transport
		},
	}
	return { transports, monitor: new ConnectionMonitor(choice.transport) }
}

/** Ids with a random part of 128 bits for the client and a number for each. */
function idMaker(): () => string {
	const bytes = crypto.getRandomValues(new Uint8Array(16))
	const unique = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
	let last = 0
	return () => `${unique}-${++last}`
}

function webSocketUrl(url: URL): string {
	const address = addressOf(url, '/trpc')
	address.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
	return address.href
}
