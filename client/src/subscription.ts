import type { Activity } from './connection.js'
import type { StreamReader } from './stream-reader.js'
import { type Backoff, backoffDelay, type Clock, type Lifetime, linkedController, pause } from './timing.js'
import { NoToken } from './token.js'
import { BufferedByProxy, ConnectionLost, type Stream, type Transport, type TransportName } from './transports/transport.js'
import type { StreamRoute } from './types.js'

/** The choice of transport, which all subscriptions of a client make together. */
export interface TransportChooser {
	current(): Transport
	/** A stream began over it. */
	worked(transport: TransportName): void
	/**
	 * An attempt failed before its stream began, or what it brought is held back on its way.
	 *
	 * @returns true when another transport is worth an attempt at once
	 */
	failed(transport: TransportName, how: { readonly heldBack: boolean }): boolean
}

/** What a subscription works with. */
export interface SubscriptionPorts {
	readonly transports: TransportChooser
	readonly clock: Clock
	readonly random: () => number
	readonly backoff: Backoff
	readonly connectTimeoutMs: number
	/** A stream that lived for so long, or brought an event, has worked: its failure counts as the first. */
	readonly provenAfterMs: number
	/** Whether another attempt would come with another key than the one that was refused. */
	mayRenew(error: unknown): error is Error
	report(subscription: object, activity: Activity | null): void
}

/** How one connection came to its end. */
type Ending =
	| { readonly finished: true }
	| { readonly finished: false; readonly cut: ConnectionLost; readonly lively: boolean; readonly atOnce: boolean }

/** One connection that failed. */
interface Attempt {
	readonly transport: TransportName
	/** When its stream began; null when it did not. */
	readonly began: number | null
	/** It brought news. */
	readonly moved: boolean
}

/** What a subscription is to. */
export interface SubscriptionTarget<Item> {
	readonly route: StreamRoute
	readonly input: object
	readonly reader: StreamReader<Item>
	readonly signal?: AbortSignal | undefined
}

/** One subscription over as many connections as it takes, until the end. */
export class Subscription<Item> {
	readonly #target: SubscriptionTarget<Item>
	readonly #ports: SubscriptionPorts
	/** The key is asked for once more before its refusal counts. */
	#renewing = false

	constructor(target: SubscriptionTarget<Item>, ports: SubscriptionPorts) {
		this.#target = target
		this.#ports = ports
	}

	/**
	 * The items. Leaving the loop releases the connection.
	 *
	 * @param scope - ends the iteration when it is closed, as the target's signal does
	 * @param left - ends it too
	 * @throws PlanstreamError when the server refuses for good
	 */
	async *items(scope: Lifetime, left?: AbortSignal): AsyncGenerator<Item, void, undefined> {
		const { clock, random, backoff } = this.#ports
		const controller = linkedController(this.#target.signal, left)
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
				await pause(clock, (cut.retryAfterMs ?? 0) + backoffDelay(failures, random, backoff), signal)
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
		const transport = transports.current().name
		report(this, cut === null ? { state: 'connecting', transport } : { state: 'reconnecting', transport, error: cut })
	}

	/** The items of one connection; what is not a cut is thrown. */
	async *#connect(signal: AbortSignal): AsyncGenerator<Item, Ending, undefined> {
		const { transports, clock, report } = this.#ports
		const transport = transports.current()
		const connection = linkedController(signal)
		const { reader } = this.#target
		const from = reader.progress
		let began: number | null = null
		try {
			const stream = await this.#open(transport, connection)
			began = clock.now()
			this.#renewing = false
			transports.worked(transport.name)
			if (stream === 'finished') return { finished: true }
			report(this, { state: 'open', transport: transport.name })
			yield* this.#read(stream)
			if (reader.ended) return { finished: true }
			throw new ConnectionLost('The server closed the stream before its end.')
		} catch (error) {
			if (signal.aborted) return { finished: true }
			return this.#failed(error, { transport: transport.name, began, moved: reader.progress !== from })
		} finally {
			connection.unlink()
			connection.abort()
		}
	}

	/** What a failure means for the next attempt; one for good is thrown. */
	#failed(error: unknown, { transport, began, moved }: Attempt): Ending {
		const { transports, clock, provenAfterMs, mayRenew } = this.#ports
		if (!this.#renewing && mayRenew(error)) {
			this.#renewing = true
			return { finished: false, cut: new ConnectionLost(error.message, { cause: error }), lively: false, atOnce: true }
		}
		if (!(error instanceof ConnectionLost)) throw error
		const lively = moved || (began !== null && clock.now() - began >= provenAfterMs)
		const heldBack = error instanceof BufferedByProxy
		const unproven = (began === null || heldBack) && !(error instanceof NoToken)
		return { finished: false, cut: error, lively, atOnce: unproven && transports.failed(transport, { heldBack }) }
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
			throw late ? new BufferedByProxy(`There was no answer within ${connectTimeoutMs} ms.`, { cause: error }) : error
		} finally {
			cancel()
		}
	}

	async *#read(stream: Stream): AsyncGenerator<Item, void, undefined> {
		const { reader } = this.#target
		for await (const delivery of stream) {
			const item = reader.read(delivery)
			if (item !== null) yield item
			if (reader.ended) return
		}
	}
}
