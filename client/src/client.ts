/// <reference lib="esnext.disposable" preserve="true" />

import type { StreamRoute, Subscribing, Watching, WatchOptions } from './calling.js'
import { httpCalls } from './calls.js'
import { type Connection, ConnectionMonitor, type Release } from './connection.js'
import { bindProcedures, type Procedures } from './generated/procedures.js'
import { type PlanstreamOptions, type Settings, settingsOf } from './options.js'
import { persistentCalls } from './persist.js'
import { createPublisher, type Publisher, type PublisherOptions } from './publisher/publisher.js'
import { addressOf } from './requests.js'
import { Scope } from './scope.js'
import { EventReader, ItemReader } from './stream-reader.js'
import { Subscription, type SubscriptionPorts, type SubscriptionTarget, type TransportChooser } from './subscription.js'
import { afterFailure, afterStart, firstChoice } from './transports/fallback.js'
import { SseTransport } from './transports/sse.js'
import type { Transport } from './transports/transport.js'
import { SILENT_HEARTBEATS } from './transports/trpc-socket.js'
import { WebSocketTransport } from './transports/websocket.js'

/** A client of one server. */
export interface Planstream extends Procedures, AsyncDisposable {
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
	const scope = new Scope()
	const { transports, monitor } = connect(settings)
	const ports: SubscriptionPorts = {
		...settings,
		transports,
		provenAfterMs: settings.heartbeatMs,
		report: (subscription, activity) => monitor.report(subscription, activity),
	}
	const open = <Item>(target: SubscriptionTarget<Item>) => {
		scope.assertOpen()
		return new Subscription(target, ports).items(scope)
	}
	const subscribe: Subscribing = (route, input, subscribeOptions = {}) =>
		open({ route, input, reader: new EventReader(subscribeOptions), signal: subscribeOptions.signal })
	const watch: Watching = <Item>(route: StreamRoute, input: object, { signal }: WatchOptions = {}) =>
		open({ route, input, reader: new ItemReader<Item>(), signal })
	const call = httpCalls({ ...settings, scope })
	const publishing = { ...settings, call, scope, silenceMs: settings.heartbeatMs * SILENT_HEARTBEATS, makeId: idMaker() }
	const close = (): Promise<void> => {
		scope.close()
		monitor.close()
		return Promise.resolve()
	}
	return {
		...bindProcedures(persistentCalls(call, scope, settings), subscribe, watch),
		get connection() {
			return monitor.current
		},
		onConnection: (listener) => monitor.listen(listener),
		publisher: (plan_id, publisherOptions = {}) => createPublisher(plan_id, publisherOptions, publishing),
		close,
		[Symbol.asyncDispose]: close,
	}
}

/** The transports of a client and the choice between them. */
function connect({ url, transport: wanted, WebSocket, ...rest }: Settings): {
	transports: TransportChooser
	monitor: ConnectionMonitor
} {
	let choice = firstChoice(wanted, WebSocket !== null)
	const sse = new SseTransport({ url, ...rest })
	const byName: Record<Transport['name'], Transport> = {
		sse,
		websocket: WebSocket === null ? sse : new WebSocketTransport({ url: webSocketUrl(url), WebSocket, ...rest }),
	}
	const transports: TransportChooser = {
		current: () => byName[choice.transport],
		worked: (name) => {
			choice = afterStart(choice, name)
		},
		failed: (name) => {
			const before = choice
			choice = afterFailure(choice, name)
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
