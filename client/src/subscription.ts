import { assertItem } from './answers.js'
import { CallbackFailed } from './callbacks.js'
import type { Activity } from './connection.js'
import { ForeignAnswer } from './problem.js'
import type { StreamReader } from './stream-reader.js'
import { type Backoff, type Clock, drawBackoffDelay, type Lifetime, linkController, pause } from './timing.js'
import { TokenUnavailable } from './token.js'
import {
	BufferedByProxy,
	ConnectionLost,
	type Delivery,
	type Stream,
	type Transport,
	type TransportName,
	TransportUnusable,
} from './transports/transport.js'
import type { StreamRoute } from './types.js'

/** The choice of transport, shared by all subscriptions of a client. */
export interface TransportChooser {
	getCurrent(): Transport
	/** Records that a stream began over this transport. */
	recordStart(transport: TransportName): void
	/**
	 * Records that an attempt failed before its stream began, or that a proxy buffers the stream.
	 *
	 * @returns true when another transport should be tried at once
	 */
	recordFailure(transport: TransportName, how: { readonly heldBack: boolean }): boolean
}

/** The dependencies of a subscription. */
export interface SubscriptionPorts {
	/** Address of the server, for messages. */
	readonly address: string
	readonly transports: TransportChooser
	readonly clock: Clock
	readonly random: () => number
	readonly backoff: Backoff
	readonly connectTimeoutMs: number
	/** Milliseconds after which a stream counts as working, as it does after an event: its failure then counts as the first. */
	readonly provenAfterMs: number
	/** Tells whether another attempt would use a new token in place of the refused one. */
	mayRenew(error: unknown): error is Error
	report(subscription: object, activity: Activity | null): void
}

/** How one connection ended. */
type Ending =
	| { readonly finished: true }
	| { readonly finished: false; readonly cut: ConnectionLost; readonly lively: boolean; readonly atOnce: boolean }

/** One connection that failed. */
interface Attempt {
	readonly transport: TransportName
	/** Time its stream began; null if it never did. */
	readonly began: number | null
	/** Whether it delivered anything new. */
	readonly moved: boolean
}

/** The target of a subscription, and the reader of its stream. */
export interface SubscriptionTarget<Item> {
	readonly route: StreamRoute
	readonly input: object
	readonly reader: StreamReader<Item>
	readonly signal?: AbortSignal | undefined
}

/** A subscription over as many connections as it takes, until its end. */
export class Subscription<Item> {
	readonly #target: SubscriptionTarget<Item>
	readonly #ports: SubscriptionPorts
	/** Whether a refused token is being renewed; a second refusal in a row is final. */
	#renewing = false

	constructor(target: SubscriptionTarget<Item>, ports: SubscriptionPorts) {
		this.#target = target
		this.#ports = ports
	}

	/**
	 * Yields the items. Leaving the loop releases the connection.
	 *
	 * @param scope - ends the iteration when it is closed, as the target's signal does
	 * @param left - ends the iteration, too
	 * @throws PlanstreamError when the server refuses permanently
	 */
	async *items(scope: Lifetime, left?: AbortSignal): AsyncGenerator<Item, void, undefined> {
		const { clock, random, backoff } = this.#ports
		const controller = linkController(this.#target.signal, left)
		const { signal } = controller
		scope.enter(controller)
		let failures = 0
		let cut: ConnectionLost | null = null
		try {
			while (!signal.aborted) {
				this.#reportAttempt(cut)
				const ending = yield* this.#connect(signal)
				if (ending.finished || signal.aborted) return
				failures = ending.lively ? 1 : failures + 1
				if (ending.atOnce && failures === 1) continue
				cut = ending.cut
				this.#reportAttempt(cut)
				await pause(clock, (cut.retryAfterMs ?? 0) + drawBackoffDelay(failures, random, backoff), signal)
			}
		} finally {
			scope.leave(controller)
			controller.unlink()
			this.#ports.report(this, null)
		}
	}

	/** @param cut - the failure before; null for the first attempt */
	#reportAttempt(cut: ConnectionLost | null): void {
		const { report, transports } = this.#ports
		const transport = transports.getCurrent().name
		report(this, cut === null ? { state: 'connecting', transport } : { state: 'reconnecting', transport, error: cut })
	}

	/** Yields the items of one connection. Throws every error except a lost connection. */
	async *#connect(signal: AbortSignal): AsyncGenerator<Item, Ending, undefined> {
		const { transports, clock, report } = this.#ports
		const transport = transports.getCurrent()
		const connection = linkController(signal)
		const { reader } = this.#target
		const from = reader.progress
		let began: number | null = null
		try {
			const stream = await this.#open(transport, connection)
			began = clock.now()
			this.#renewing = false
			transports.recordStart(transport.name)
			if (stream === 'finished') return { finished: true }
			report(this, { state: 'open', transport: transport.name })
			yield* this.#read(stream, signal)
			if (reader.ended) return { finished: true }
			throw new ConnectionLost('The server closed the stream early.')
		} catch (error) {
			if (signal.aborted) return { finished: true }
			return this.#handleFailure(error, { transport: transport.name, began, moved: reader.progress !== from })
		} finally {
			connection.unlink()
			connection.abort()
		}
	}

	/** Decides how to go on after a failure. Throws a permanent one. */
	#handleFailure(error: unknown, { transport, began, moved }: Attempt): Ending {
		const { transports, clock, provenAfterMs, mayRenew } = this.#ports
		if (error instanceof CallbackFailed) throw error.cause
		if (error instanceof TransportUnusable) {
			transports.recordFailure(transport, error)
			if (transports.getCurrent().name === transport) throw error.refusal
			return { finished: false, cut: error, lively: false, atOnce: true }
		}
		if (!this.#renewing && mayRenew(error)) {
			this.#renewing = true
			return { finished: false, cut: new ConnectionLost(error.message, { cause: error }), lively: false, atOnce: true }
		}
		if (!(error instanceof ConnectionLost)) throw error
		const lively = moved || (began !== null && clock.now() - began >= provenAfterMs)
		const heldBack = error instanceof BufferedByProxy
		const unproven = (began === null || heldBack) && !(error instanceof TokenUnavailable)
		const changed = unproven && transports.recordFailure(transport, { heldBack })
		return { finished: false, cut: error, lively, atOnce: changed && error.retryAfterMs === null }
	}

	async #open(transport: Transport, connection: AbortController): Promise<Stream | 'finished'> {
		const { clock, connectTimeoutMs } = this.#ports
		const { route, input, reader } = this.#target
		const request = { route, input, lastCursor: reader.cursor }
		let late = false
		const cancel = clock.after(connectTimeoutMs, () => {
			late = true
			connection.abort()
		})
		try {
			return await transport.open(request, connection.signal)
		} catch (error) {
			throw late ? new BufferedByProxy(`The server did not answer within ${connectTimeoutMs} ms.`, { cause: error }) : error
		} finally {
			cancel()
		}
	}

	/** Yields nothing more once the signal has aborted, whatever was received before. */
	async *#read(stream: Stream, signal: AbortSignal): AsyncGenerator<Item, void, undefined> {
		const { reader, route } = this.#target
		const { address } = this.#ports
		const read = (delivery: Delivery): Item | null => {
			try {
				return reader.read(delivery)
			} catch (error) {
				if (!(error instanceof TypeError)) throw error
				throw new ForeignAnswer(address, 'an event with other data', 'an event of Planstream', { cause: error })
			}
		}
		for await (const delivery of stream) {
			if (signal.aborted) return
			assertItem(delivery.item, route.item, address)
			const item = read(delivery)
			if (signal.aborted) return // a callback of the reader may abort
			if (item !== null) yield item
			if (reader.ended) return
		}
	}
}
