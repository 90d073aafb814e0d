import { PlanstreamError } from '@planstream/shared'
import { type Backoff, backoffDelay } from './backoff.js'
import type { StreamRoute, SubscribeOptions } from './calling.js'
import { type Clock, pause } from './clock.js'
import type { Activity } from './connection.js'
import type { SubscribeInput } from './generated/commands.js'
import type { PlanEvent } from './generated/events.js'
import type { ControlFrame } from './generated/frames.js'
import { type Position, receive, UNKNOWN_POSITION } from './position.js'
import { cutOrError } from './problem.js'
import type { Scope } from './scope.js'
import { linkedController } from './signals.js'
import { NoToken } from './token.js'
import { Cut, type Stream, type Transport, type TransportName } from './transports/transport.js'

/** The choice of transport, which all subscriptions of a client make together. */
export interface TransportChooser {
	current(): Transport
	/** A stream began over it. */
	worked(transport: TransportName): void
	/**
	 * An attempt failed before its stream began.
	 *
	 * @returns true when another transport is worth an attempt at once
	 */
	failed(transport: TransportName): boolean
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
	report(subscription: object, activity: Activity | null): void
}

/** How one connection came to its end. */
type Ending =
	| { readonly finished: true }
	| { readonly finished: false; readonly cut: Cut; readonly lively: boolean; readonly atOnce: boolean }

/** One subscription over as many connections as it takes: each event once, in order, until the end. */
export class Subscription {
	readonly #route: StreamRoute
	readonly #input: SubscribeInput
	readonly #options: SubscribeOptions
	readonly #ports: SubscriptionPorts
	#position: Position = UNKNOWN_POSITION
	#ended = false

	constructor(route: StreamRoute, input: SubscribeInput, options: SubscribeOptions, ports: SubscriptionPorts) {
		this.#route = route
		this.#input = input
		this.#options = options
		this.#ports = ports
	}

	/**
	 * The events. Leaving the loop releases the connection.
	 *
	 * @param scope - ends the iteration when it is closed, as the signal among the options does
	 * @throws PlanstreamError when the server refuses for good
	 */
	async *events(scope: Scope): AsyncGenerator<PlanEvent, void, undefined> {
		const { clock, random, backoff, report } = this.#ports
		const controller = linkedController(this.#options.signal)
		const { signal } = controller
		scope.enter(controller)
		let failures = 0
		try {
			while (!signal.aborted) {
				const ending = yield* this.#connect(signal)
				if (ending.finished || signal.aborted) return
				failures = ending.lively ? 1 : failures + 1
				if (ending.atOnce && failures === 1) continue
				report(this, { state: 'waiting', transport: this.#ports.transports.current().name, error: ending.cut })
				await pause(clock, (ending.cut.retryAfterMs ?? 0) + backoffDelay(failures, random, backoff), signal)
			}
		} finally {
			scope.leave(controller)
			controller.unlink()
			report(this, null)
		}
	}

	/** The events of one connection; what is not a cut is thrown. */
	async *#connect(signal: AbortSignal): AsyncGenerator<PlanEvent, Ending, undefined> {
		const { transports, clock, provenAfterMs, report } = this.#ports
		const transport = transports.current()
		const connection = linkedController(signal)
		const from = this.#position.seq
		let began: number | null = null
		try {
			report(this, { state: 'connecting', transport: transport.name })
			const stream = await this.#open(transport, connection)
			began = clock.now()
			transports.worked(transport.name)
			if (stream === 'finished') return { finished: true }
			report(this, { state: 'open', transport: transport.name })
			yield* this.#read(stream)
			if (this.#ended) return { finished: true }
			throw new Cut('The server closed the stream before its end.')
		} catch (error) {
			if (signal.aborted) return { finished: true }
			if (!(error instanceof Cut)) throw error
			const lively = this.#position.seq !== from || (began !== null && clock.now() - began >= provenAfterMs)
			const unproven = began === null && !(error instanceof NoToken)
			return { finished: false, cut: error, lively, atOnce: unproven && transports.failed(transport.name) }
		} finally {
			connection.unlink()
			connection.abort()
		}
	}

	async #open(transport: Transport, connection: AbortController): Promise<Stream | 'finished'> {
		const { clock, connectTimeoutMs } = this.#ports
		const request = { route: this.#route, input: this.#input, lastCursor: this.#position.cursor }
		let late = false
		const cancel = clock.after(connectTimeoutMs, () => {
			late = true
			connection.abort()
		})
		try {
			return await transport.open(request, connection.signal)
		} catch (error) {
			throw late ? new Cut(`There was no answer within ${connectTimeoutMs} ms.`, { cause: error }) : error
		} finally {
			cancel()
		}
	}

	async *#read(stream: Stream): AsyncGenerator<PlanEvent, void, undefined> {
		for await (const delivery of stream) {
			const { position, event, frame } = receive(this.#position, delivery)
			this.#position = position
			if (frame) this.#heed(frame)
			if (event) yield event
			if (this.#ended) return
		}
	}

	#heed(frame: ControlFrame): void {
		switch (frame.frame) {
			case 'ready':
				if (frame.reset) this.#options.onReset?.(frame)
				this.#options.onReady?.(frame)
				return
			case 'end':
				this.#ended = !frame.resume
				return
			case 'problem': {
				const { frame: _frame, plan_id: _plan, cursor: _cursor, ...problem } = frame
				throw cutOrError(PlanstreamError.fromProblem(problem))
			}
			case 'position':
				return
		}
	}
}
