import { asPlanstreamError, PlanstreamError } from '@planstream/shared'
import type { PublishOutput } from '../generated/answers.js'
import type { EventInput } from '../generated/event-inputs.js'
import type { Clock, Lifetime } from '../timing.js'
import type { BatchSender } from './batch-sender.js'
import { Outbox, type Outgoing, type OutgoingEvent } from './outbox.js'

/** What became of one event: its place in the plan's log, and whether it was there before. */
export type StoredReceipt = PublishOutput['results'][number]

/** An event that a publisher has taken and will not forget. */
export interface Accepted {
	/** The event's own, or the one the publisher gave it. */
	readonly event_id: string
	/**
	 * Resolves when the event is durable. Rejects with the server's refusal when its batch was refused, and with that refusal as
	 * `cause` when an earlier batch was. It may be left alone: a failure is told by `flush` and `close` too.
	 */
	readonly stored: Promise<StoredReceipt>
}

/** So many calls may wait for room; a producer that does not await them would fill the memory. */
const MAX_WAITING_CALLS = 16_384

/**
 * `open`; `closing`: takes nothing more and sends what it has; `closed`: everything it took is stored; `stopped`: by a refusal, by
 * `giveUpAfterMs` or with its client, and `stoppedBy` says which.
 */
export type PublisherState = 'open' | 'closing' | 'closed' | 'stopped'

interface Entry extends Outgoing {
	readonly stored: Promise<StoredReceipt>
	readonly resolve: (receipt: StoredReceipt) => void
	readonly reject: (error: PlanstreamError) => void
}

interface WaitingCall {
	readonly entry: Entry
	readonly accept: () => void
	readonly refuse: (error: PlanstreamError) => void
}

export interface QueuePorts {
	readonly clock: Clock
	readonly scope: Lifetime
	readonly makeId: () => string
}

/** What a publisher does with its events: takes them while there is room, sends a batch at a time, and stops at a refusal. */
export class PublishQueue {
	readonly #sender: BatchSender
	readonly #ports: QueuePorts
	readonly #outbox = new Outbox<Entry>()
	readonly #calls: WaitingCall[] = []
	readonly #controller = new AbortController()
	#state: PublisherState = 'open'
	#stoppedBy: PlanstreamError | null = null
	#sending = false
	/** The last event that was given to `publish`. */
	#last: Promise<unknown> = Promise.resolve()
	#closed: Promise<void> | null = null

	constructor(sender: BatchSender, ports: QueuePorts) {
		this.#sender = sender
		this.#ports = ports
		ports.scope.assertOpen()
		const { signal } = this.#controller
		signal.addEventListener('abort', () => this.#stop(asPlanstreamError(signal.reason)))
		ports.scope.enter(this.#controller)
	}

	get state(): PublisherState {
		return this.#state
	}

	get stoppedBy(): PlanstreamError | null {
		return this.#stoppedBy
	}

	get buffered(): number {
		return this.#outbox.size
	}

	async publish(event: EventInput): Promise<Accepted> {
		this.#assertOpen()
		const entry = this.#entryOf(event)
		if (this.#calls.length > 0 || !this.#outbox.hasRoom(entry)) await this.#room(entry)
		else this.#take(entry)
		return { event_id: entry.event.event_id, stored: entry.stored }
	}

	async flush(): Promise<void> {
		await this.#last.catch(() => {}) // why is told by `#stoppedBy`
		if (this.#stoppedBy !== null) throw this.#stoppedBy
	}

	close(): Promise<void> {
		this.#closed ??= this.#end()
		return this.#closed
	}

	async #end(): Promise<void> {
		if (this.#state === 'open') this.#state = 'closing'
		await this.flush()
		this.#state = 'closed'
		this.#ports.scope.leave(this.#controller)
	}

	#assertOpen(): void {
		if (this.#state === 'open') return
		if (this.#stoppedBy !== null) throw notSent(this.#stoppedBy)
		throw new PlanstreamError('illegal_transition', 'This publisher was closed. Make another with planstream.publisher().')
	}

	/** Copies the event, so that it stays what it was however often it is sent. */
	#entryOf(given: EventInput): Entry {
		const text = textOf({ ...given, event_id: given.event_id ?? this.#ports.makeId() })
		let resolve: Entry['resolve'] = () => {}
		let reject: Entry['reject'] = () => {}
		const stored = new Promise<StoredReceipt>((...settle) => {
			;[resolve, reject] = settle
		})
		stored.catch(() => {}) // who does not look at it is told by flush and close
		this.#last = stored
		const bytes = new TextEncoder().encode(text).length
		return { event: JSON.parse(text) as OutgoingEvent, bytes, stored, resolve, reject }
	}

	#room(entry: Entry): Promise<void> {
		if (this.#calls.length >= MAX_WAITING_CALLS) {
			const sentence = `${MAX_WAITING_CALLS} calls of publish wait for room already. Await each call before the next one.`
			throw new PlanstreamError('rate_limited', sentence, { limit: MAX_WAITING_CALLS })
		}
		return new Promise((accept, refuse) => this.#calls.push({ entry, accept, refuse }))
	}

	#take(entry: Entry): void {
		this.#outbox.add(entry)
		if (this.#sending) return
		this.#sending = true
		// One turn later, so that what is published in one go goes out together.
		this.#ports.clock.after(0, () => void this.#sendAll())
	}

	async #sendAll(): Promise<void> {
		while (!this.#outbox.empty) await this.#sendBatch(this.#outbox.cut())
		this.#sending = false
	}

	async #sendBatch(batch: readonly Entry[]): Promise<void> {
		const events = batch.map(({ event }) => event)
		try {
			const results = await this.#sender.send(events, this.#controller.signal)
			const byId = new Map(results.map((result) => [result.event_id, result]))
			for (const { event, resolve } of batch) resolve(receiptOf(event, byId))
			this.#outbox.settled(batch)
			this.#admit()
		} catch (thrown) {
			const error = asPlanstreamError(thrown)
			for (const { reject } of batch) reject(error)
			this.#outbox.settled(batch)
			this.#stop(error)
		}
	}

	#admit(): void {
		for (let [call] = this.#calls; call !== undefined && this.#outbox.hasRoom(call.entry); [call] = this.#calls) {
			this.#calls.shift()
			this.#take(call.entry)
			call.accept()
		}
	}

	/** Nothing goes out behind a batch that is not in the log: the order would be lost. */
	#stop(error: PlanstreamError): void {
		if (this.#state === 'stopped' || this.#state === 'closed') return
		this.#state = 'stopped'
		this.#stoppedBy = error
		this.#ports.scope.leave(this.#controller)
		for (const { reject } of this.#outbox.clear()) reject(notSent(error))
		for (const { entry, refuse } of this.#calls.splice(0)) {
			entry.reject(notSent(error))
			refuse(notSent(error))
		}
	}
}

function textOf(event: OutgoingEvent): string {
	try {
		return JSON.stringify(event)
	} catch (cause) {
		const sentence = `The event is not JSON: ${cause instanceof Error ? cause.message : String(cause)}. Publish plain data.`
		throw new PlanstreamError('invalid_event', sentence, {}, { cause })
	}
}

function receiptOf({ event_id }: OutgoingEvent, results: ReadonlyMap<string, StoredReceipt>): StoredReceipt {
	const result = results.get(event_id)
	if (result !== undefined) return result
	throw new PlanstreamError('internal', `The server's answer says nothing of the event ${event_id}.`, { event_id })
}

function notSent(cause: PlanstreamError): PlanstreamError {
	const sentence = `The publisher has stopped, so this event was not sent. What stopped it: ${cause.message}`
	return new PlanstreamError('illegal_transition', sentence, { stopped_by: cause.code }, { cause })
}
