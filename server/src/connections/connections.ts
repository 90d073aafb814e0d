import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { type ClientsOutput, PlanstreamError } from '@planstream/shared'

/** A set of open items that can be waited on until it is empty. */
export class OpenSet<Item> extends Set<Item> {
	readonly #waiting: (() => void)[] = []

	override delete(item: Item): boolean {
		const wasOpen = super.delete(item)
		if (this.size === 0) for (const resolve of this.#waiting.splice(0)) resolve()
		return wasOpen
	}

	/** Resolves once the set is empty. */
	async waitUntilEmpty(): Promise<void> {
		if (this.size > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve))
	}
}

/** Maximum streams per connection; see PROTOCOL.md section 7. */
const MAX_STREAMS = 100
const RETRY_AFTER_MS = 1000

/** The public description of a connection. */
export type ConnectionReport = ClientsOutput['connections'][number]
export type Transport = ConnectionReport['transport']

/** The controls that a transport gives for one connection. */
export interface ConnectionEnds {
	readonly transport: Transport
	/** Whether bytes are buffered because the peer reads too slowly. */
	readonly lagging: boolean
	/** Closes the connection gracefully once it has no streams. Absent when the connection is a single stream and ends with it. */
	leave?(reason: PlanstreamError): void
	/** Closes the connection at once. */
	terminate(): void
}

/** The authenticated peer of a connection. */
export interface ConnectionOwner {
	readonly tenant: string
	/** The id that the client chose for itself. @defaultValue the connection's id */
	readonly client_id?: string | undefined
	/** Aborts with a {@link PlanstreamError} when the peer's credentials expire. @defaultValue never */
	readonly expired?: AbortSignal | undefined
}

/** One stream on a connection. */
export interface CarriedStream {
	/** null for a stream without a plan. */
	readonly plan_id: string | null
	/** Number of plan events written to the connection. */
	readonly delivered: number
	/** Ends the stream because its connection closes. */
	end(reason: PlanstreamError): void
}

export interface ConnectionsOptions {
	/** Maximum open connections over all transports. */
	readonly limit: number
	/** Aborts with a {@link PlanstreamError} `draining` when the server stops; every open stream listens to it. */
	readonly draining: AbortSignal
	/** Unix time in milliseconds. */
	readonly clock: () => number
	/** Whether a connection counts against the limit only once its peer is known. @defaultValue false */
	readonly countsKnownOnly?: boolean
}

/** All open connections that carry streams, counted against one limit. */
export class Connections {
	readonly #limit: number
	readonly #draining: AbortSignal
	readonly #open = new OpenSet<Connection>()
	readonly #countsKnownOnly: boolean
	/** Number of open connections whose peer is known. */
	#known = 0
	readonly #shared: SharedContext

	constructor({ limit, draining, clock, countsKnownOnly = false }: ConnectionsOptions) {
		this.#countsKnownOnly = countsKnownOnly
		this.#limit = limit
		this.#draining = draining
		this.#shared = {
			clock,
			admit: () => {
				if (countsKnownOnly) this.#assertPlace()
				this.#known += 1
			},
			close: (connection) => {
				this.#open.delete(connection)
				if (connection.owner !== null) this.#known -= 1
			},
		}
		setMaxListeners(0, draining)
		draining.addEventListener('abort', () => this.#leave(draining.reason as PlanstreamError), { once: true })
	}

	/** @throws PlanstreamError `too_many_connections`, `draining` */
	assertRoom(): void {
		if (this.#draining.aborted) {
			const message = 'The server is stopping and accepts no new connections. Reconnect in a moment.'
			throw new PlanstreamError('draining', message, { retry_after_ms: RETRY_AFTER_MS })
		}
		this.#assertPlace()
	}

	#assertPlace(): void {
		if ((this.#countsKnownOnly ? this.#known : this.#open.size) < this.#limit) return
		const message = `The server has reached its limit of ${this.#limit} connections. Reconnect later.`
		throw new PlanstreamError('too_many_connections', message, { limit: this.#limit, retry_after_ms: RETRY_AFTER_MS })
	}

	/**
	 * Adds a connection, which counts until it is disposed.
	 *
	 * @throws PlanstreamError `too_many_connections`, `draining`
	 */
	open(ends: ConnectionEnds): Connection {
		this.assertRoom()
		const connection = new Connection(ends, this.#shared)
		this.#open.add(connection)
		return connection
	}

	/** Describes the connections of a tenant. */
	report(tenant: string): readonly ConnectionReport[] {
		return this.#listOf(tenant).map((connection) => connection.report())
	}

	/** Counts the open streams of a tenant's plan. */
	countSubscribers(tenant: string, plan_id: string): number {
		return this.#listOf(tenant).reduce((count, connection) => count + connection.countStreams(plan_id), 0)
	}

	/** Number of open connections, over all tenants. */
	get size(): number {
		return this.#open.size
	}

	#listOf(tenant: string): readonly Connection[] {
		return [...this.#open].filter((connection) => connection.owner?.tenant === tenant)
	}

	/** Resolves once no connection is open. */
	waitUntilEmpty(): Promise<void> {
		return this.#open.waitUntilEmpty()
	}

	/** Closes all open connections at once. */
	terminate(): void {
		for (const { ends } of this.#open) ends.terminate()
	}

	#leave(reason: PlanstreamError): void {
		for (const connection of this.#open) connection.leave(reason)
	}
}

/** Resources that all connections share. */
interface SharedContext {
	readonly clock: () => number
	/** @throws PlanstreamError `too_many_connections` */
	readonly admit: () => void
	readonly close: (connection: Connection) => void
}

/** One connection and the streams on it. */
export class Connection implements Disposable, EventListenerObject {
	readonly ends: ConnectionEnds
	readonly #shared: SharedContext
	readonly #connectedAt: number
	/** Made on first use. */
	#id: string | null = null
	/** Copied on change: a growing array reserves room for many more, and most connections carry one stream. */
	#streams: readonly CarriedStream[] = []
	#owner: ConnectionOwner | null = null
	#lastSeenAt: number
	#leaving: PlanstreamError | null = null
	/** Events delivered by streams that have ended. */
	#delivered = 0
	#disposed = false

	constructor(ends: ConnectionEnds, shared: SharedContext) {
		this.ends = ends
		this.#shared = shared
		this.#connectedAt = shared.clock()
		this.#lastSeenAt = this.#connectedAt
	}

	get connection_id(): string {
		this.#id ??= randomUUID()
		return this.#id
	}

	/** null until the peer is authenticated. */
	get owner(): ConnectionOwner | null {
		return this.#owner
	}

	/** Sets the authenticated peer. The connection now appears among its tenant's, and closes when the credentials expire. */
	identify(owner: ConnectionOwner): void {
		if (!this.#disposed && this.#owner === null) this.#shared.admit()
		this.#owner = owner
		if (!this.#disposed) owner.expired?.addEventListener('abort', this)
	}

	/**
	 * Adds a stream, which counts until {@link Connection.removeStream}.
	 *
	 * @throws PlanstreamError `bad_request` at the limit of streams per connection
	 */
	addStream(stream: CarriedStream): void {
		if (this.#streams.length >= MAX_STREAMS) {
			const message = `This connection has reached its limit of ${MAX_STREAMS} subscriptions. Stop one, or open another connection.`
			throw new PlanstreamError('bad_request', message, { limit: MAX_STREAMS })
		}
		this.#streams = this.#streams.concat(stream)
		const leaving = this.#leaving
		if (leaving !== null) queueMicrotask(() => stream.end(leaving))
	}

	/** Removes an ended stream; does nothing for one that was not added. */
	removeStream(stream: CarriedStream): void {
		if (!this.#streams.includes(stream)) return
		this.#streams = this.#streams.filter((other) => other !== stream)
		this.#delivered += stream.delivered
		this.#leaveWhenIdle()
	}

	/** Ends all streams, then closes the connection. */
	leave(reason: PlanstreamError): void {
		if (this.#leaving !== null) return
		this.#leaving = reason
		for (const stream of this.#streams) stream.end(reason)
		this.#leaveWhenIdle()
	}

	/** Records a sign of life of the peer. */
	touch(): void {
		this.#lastSeenAt = this.#shared.clock()
	}

	countStreams(plan_id: string): number {
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
		this.#shared.close(this)
	}

	/** Closes the connection when its owner's credentials expire. */
	handleEvent({ target }: Event): void {
		this.leave((target as AbortSignal).reason as PlanstreamError)
	}

	#leaveWhenIdle(): void {
		if (this.#leaving !== null && this.#streams.length === 0 && !this.#disposed) this.ends.leave?.(this.#leaving)
	}
}

/** Limits of one connection; see PROTOCOL.md section 7. */
export interface ConnectionLimits {
	/** Time between two pings on a WebSocket, in milliseconds. */
	readonly pingIntervalMs: number
	/** Time for a WebSocket to answer a ping, in milliseconds. */
	readonly pongTimeoutMs: number
	/** Time between two heartbeats on plain SSE, in milliseconds. */
	readonly heartbeatMs: number
	/** Bytes that may be buffered per connection; the item that crosses the limit is still written. */
	readonly sendBufferBytes: number
	/** Time that a client may read nothing of its buffered bytes, in milliseconds. */
	readonly stallTimeoutMs: number
	/** Time for a WebSocket that announces credentials to send them, in milliseconds. */
	readonly credentialsTimeoutMs: number
	/** Whether streams are compressed on request: this costs CPU time, and on SSE memory per reader. */
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
