import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { type ClientsOutput, PlanstreamError } from '@planstream/shared'

/** What is open at the moment. */
export class OpenSet<Item> extends Set<Item> {
	readonly #waiting: (() => void)[] = []

	override delete(item: Item): boolean {
		const wasOpen = super.delete(item)
		if (this.size === 0) for (const resolve of this.#waiting.splice(0)) resolve()
		return wasOpen
	}

	/** Resolves when nothing is open. */
	async empty(): Promise<void> {
		if (this.size > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve))
	}
}

/** Streams one connection carries at most; see PROTOCOL.md section 7. */
const MAX_STREAMS = 100
const RETRY_AFTER_MS = 1000

/** What is told of one connection. */
export type ConnectionReport = ClientsOutput['connections'][number]
export type Transport = ConnectionReport['transport']

/** How a transport gives up a connection. */
export interface ConnectionEnds {
	readonly transport: Transport
	/** Whether more waits for the peer than it takes. */
	readonly lagging: boolean
	/** Closes it in order, once no stream is left on it. A connection that is one stream ends with that. */
	leave?(reason: PlanstreamError): void
	/** Closes it at once. */
	terminate(): void
}

/** Whose connection it is. */
export interface ConnectionOwner {
	readonly tenant: string
	/** What the peer calls itself. @defaultValue the connection's id */
	readonly client_id?: string | undefined
	/** Aborts with a {@link PlanstreamError} when the peer may not stay. @defaultValue never */
	readonly expired?: AbortSignal | undefined
}

/** One stream on a connection. */
export interface CarriedStream {
	/** null for a stream of no plan. */
	readonly plan_id: string | null
	/** How many events of a plan were given over to the connection. */
	readonly delivered: number
	/** Called when the connection is to leave; the stream then ends by itself. */
	end(reason: PlanstreamError): void
}

export interface ConnectionsOptions {
	/** Connections at one time, all transports together. */
	readonly limit: number
	/** Aborts with a {@link PlanstreamError} `draining` when the server stops; every open stream listens to it. */
	readonly draining: AbortSignal
	/** Milliseconds since 1970. */
	readonly clock: () => number
}

/** Every open connection that carries streams, counted against one limit. */
export class Connections {
	readonly #limit: number
	readonly #draining: AbortSignal
	readonly #open = new OpenSet<Connection>()
	readonly #home: Home

	constructor({ limit, draining, clock }: ConnectionsOptions) {
		this.#limit = limit
		this.#draining = draining
		this.#home = { clock, close: (connection) => void this.#open.delete(connection) }
		setMaxListeners(0, draining)
		draining.addEventListener('abort', () => this.#leave(draining.reason as PlanstreamError), { once: true })
	}

	/** @throws PlanstreamError `too_many_connections`, `draining` */
	assertRoom(): void {
		if (this.#draining.aborted) {
			const sentence = 'The server is stopping and takes no new connections. Connect again in a moment.'
			throw new PlanstreamError('draining', sentence, { retry_after_ms: RETRY_AFTER_MS })
		}
		if (this.#open.size >= this.#limit) {
			const sentence = `The server holds ${this.#limit} connections, which is its limit. Connect again when others have left.`
			throw new PlanstreamError('too_many_connections', sentence, { limit: this.#limit, retry_after_ms: RETRY_AFTER_MS })
		}
	}

	/**
	 * Counts a connection in until it is disposed.
	 *
	 * @throws PlanstreamError `too_many_connections`, `draining`
	 */
	open(ends: ConnectionEnds): Connection {
		this.assertRoom()
		const connection = new Connection(ends, this.#home)
		this.#open.add(connection)
		return connection
	}

	/** The connections of a tenant. */
	report(tenant: string): readonly ConnectionReport[] {
		return this.#of(tenant).map((connection) => connection.report())
	}

	/** How many streams of a tenant's plan are open. */
	subscribers(tenant: string, plan_id: string): number {
		return this.#of(tenant).reduce((count, connection) => count + connection.streamsOf(plan_id), 0)
	}

	/** How many connections are open, whosever they are. */
	get size(): number {
		return this.#open.size
	}

	#of(tenant: string): readonly Connection[] {
		return [...this.#open].filter((connection) => connection.owner?.tenant === tenant)
	}

	/** Resolves when no connection is left. */
	empty(): Promise<void> {
		return this.#open.empty()
	}

	/** Closes what is still open, at once. */
	terminate(): void {
		for (const connection of this.#open) connection.terminate()
	}

	#leave(reason: PlanstreamError): void {
		for (const connection of this.#open) connection.leave(reason)
	}
}

/** What all connections share. */
interface Home {
	readonly clock: () => number
	readonly close: (connection: Connection) => void
}

/** One connection and the streams on it. */
export class Connection implements Disposable, EventListenerObject {
	readonly ends: ConnectionEnds
	readonly #home: Home
	readonly #connectedAt: number
	/** Made when somebody asks for it. */
	#id: string | null = null
	/** Made anew when it changes: an array that grows keeps room for many more, and most connections carry one. */
	#streams: readonly CarriedStream[] = []
	#owner: ConnectionOwner | null = null
	#lastSeenAt: number
	#leaving: PlanstreamError | null = null
	/** By the streams that are over. */
	#delivered = 0
	#disposed = false

	constructor(ends: ConnectionEnds, home: Home) {
		this.ends = ends
		this.#home = home
		this.#connectedAt = home.clock()
		this.#lastSeenAt = this.#connectedAt
	}

	get connection_id(): string {
		this.#id ??= randomUUID()
		return this.#id
	}

	/** null until the peer has said who it is. */
	get owner(): ConnectionOwner | null {
		return this.#owner
	}

	/** The peer has said who it is; from now on it shows among its tenant's connections, and leaves when it may not stay. */
	identify(owner: ConnectionOwner): void {
		this.#owner = owner
		if (!this.#disposed) owner.expired?.addEventListener('abort', this)
	}

	/**
	 * Counts a stream in until it is {@link over}.
	 *
	 * @throws PlanstreamError `bad_request` when the connection carries as many as it may
	 */
	begin(stream: CarriedStream): void {
		if (this.#streams.length >= MAX_STREAMS) {
			const sentence = `This connection carries ${MAX_STREAMS} subscriptions, which is its limit. Stop one, or open another connection.`
			throw new PlanstreamError('bad_request', sentence, { limit: MAX_STREAMS })
		}
		this.#streams = this.#streams.concat(stream)
		const leaving = this.#leaving
		if (leaving !== null) queueMicrotask(() => stream.end(leaving))
	}

	/** A stream has ended; does nothing for one that has not begun here. */
	over(stream: CarriedStream): void {
		if (!this.#streams.includes(stream)) return
		this.#streams = this.#streams.filter((other) => other !== stream)
		this.#delivered += stream.delivered
		this.#leaveWhenIdle()
	}

	/** Ends the streams, and closes the connection as soon as they have ended. */
	leave(reason: PlanstreamError): void {
		if (this.#leaving !== null) return
		this.#leaving = reason
		for (const stream of this.#streams) stream.end(reason)
		this.#leaveWhenIdle()
	}

	/** Closes it at once. */
	terminate(): void {
		this.ends.terminate()
	}

	/** The peer gave a sign of life. */
	touch(): void {
		this.#lastSeenAt = this.#home.clock()
	}

	streamsOf(plan_id: string): number {
		return this.#streams.filter((stream) => stream.plan_id === plan_id).length
	}

	report(): ConnectionReport {
		const plans = this.#streams.flatMap(({ plan_id }) => (plan_id === null ? [] : [plan_id]))
		return {
			connection_id: this.connection_id,
			client_id: this.#owner?.client_id ?? this.connection_id,
			transport: this.ends.transport,
			connected_at: new Date(this.#connectedAt).toISOString(),
			last_seen_at: new Date(this.#lastSeenAt).toISOString(),
			subscribed_plans: [...new Set(plans)],
			delivered: this.#streams.reduce((sum, stream) => sum + stream.delivered, this.#delivered),
			lagging: this.ends.lagging,
		}
	}

	[Symbol.dispose](): void {
		if (this.#disposed) return
		this.#disposed = true
		this.#owner?.expired?.removeEventListener('abort', this)
		this.#home.close(this)
	}

	/** Its owner may not stay. */
	handleEvent({ target }: Event): void {
		this.leave((target as AbortSignal).reason as PlanstreamError)
	}

	#leaveWhenIdle(): void {
		if (this.#leaving !== null && this.#streams.length === 0 && !this.#disposed) this.ends.leave?.(this.#leaving)
	}
}

/** Limits of one connection; see PROTOCOL.md section 7. */
export interface ConnectionLimits {
	/** Milliseconds between two pings on a WebSocket. */
	readonly pingIntervalMs: number
	/** Milliseconds a WebSocket has to answer one. */
	readonly pongTimeoutMs: number
	/** Milliseconds between two signs of life on plain SSE. */
	readonly heartbeatMs: number
	/** Bytes that may wait for a reader; the item that crosses the limit is still taken. */
	readonly sendBufferBytes: number
	/** Milliseconds a reader may take nothing of what waits for it. */
	readonly stallTimeoutMs: number
	/** Milliseconds a WebSocket that announces credentials has to send them. */
	readonly credentialsTimeoutMs: number
	/** Whether streams are compressed for who asks for it: it takes CPU time, and for SSE memory for each reader. */
	readonly compression: boolean
}

export const CONNECTION_LIMITS: ConnectionLimits = {
	pingIntervalMs: 30_000,
	pongTimeoutMs: 10_000,
	heartbeatMs: 15_000,
	sendBufferBytes: 1024 * 1024,
	stallTimeoutMs: 30_000,
	credentialsTimeoutMs: 5000,
	compression: false,
}
