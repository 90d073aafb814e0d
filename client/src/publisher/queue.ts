import { asPlanstreamError, PlanstreamError } from '@planstream/shared'
import type { PublishOutput } from '../generated/answers.js'
import type { EventInput } from '../generated/event-inputs.js'
import { assertId } from '../input.js'
import type { Clock, Lifetime } from '../timing.js'
import type { BatchSender } from './batch-sender.js'
import { Outbox, type Outgoing, type OutgoingEvent } from './outbox.js'

/** The receipt of one event: its place in the plan's log, and whether it was there before. */
export type StoredReceipt = PublishOutput['results'][number]

/** An event that a publisher has accepted. */
export interface Accepted {
	/** The event's own id, or the one the publisher gave it. */
	readonly event_id: string
	/**
	 * Resolves when the event is durable. Rejects with the server's refusal of its batch, or with the refusal of an earlier batch as
	 * `cause`. You may ignore it: `flush` and `close` report the failure, too.
	 */
	readonly stored: Promise<StoredReceipt>
}

/** Maximum calls that wait for room. Without a bound, a producer that does not await `publish` would fill the memory. */
const MAX_WAITING_CALLS = 16_384

/**
 * State of a publisher. `open`; `closing`: accepts no more events and sends the rest; `closed`: every accepted event is stored;
 * `stopped`: by a refusal, by `giveUpAfterMs` or with its client, as `stoppedBy` tells.
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

/** The queue of a publisher: accepts events while there is room, sends one batch at a time, and stops at a refusal. */
export class PublishQueue {
	readonly #sender: BatchSender
	readonly #ports: QueuePorts
	readonly #outbox = new Outbox<Entry>()
	readonly #calls: WaitingCall[] = []
	readonly #controller = new AbortController()
	#state: PublisherState = 'open'
	#stoppedBy: PlanstreamError | null = null
	#sending = false
	/** Settles with the last event passed to `publish`. */
	#last: Promise<unknown> = Promise.resolve()
	#closed: Promise<void> | null = null

	constructor(sender: BatchSender, ports: QueuePorts) {
		this.#sender = sender
		this.#ports = ports
		ports.scope.assertOpen()
		const { signal } = this.#controller
		signal.addEventListener('abort', () => this.#endWithClient(asPlanstreamError(signal.reason)))
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
		const entry = this.#createEntry(event)
		if (this.#calls.length > 0 || !this.#outbox.hasRoom(entry)) await this.#waitForRoom(entry)
		else this.#take(entry)
		return { event_id: entry.event.event_id, stored: entry.stored }
	}

	async flush(): Promise<void> {
		await this.#last.catch(() => {}) // `#stoppedBy` has the reason
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

	/** Ends with the client: closed if every event is stored, else stopped. */
	#endWithClient(reason: PlanstreamError): void {
		if (this.#outbox.size > 0) this.#stop(reason)
		else if (this.#state === 'open' || this.#state === 'closing') this.#state = 'closed'
	}

	#assertOpen(): void {
		if (this.#state === 'open') return
		if (this.#stoppedBy !== null) throw createNotSentError(this.#stoppedBy)
		throw new PlanstreamError('illegal_transition', 'This publisher is closed. Make a new one with planstream.publisher().')
	}

	/** Copies the event, so that every attempt sends the same bytes. */
	#createEntry(given: EventInput): Entry {
		assertEventIds(given)
		const text = serialize({ ...given, event_id: given.event_id ?? this.#ports.makeId() })
		let resolve: Entry['resolve'] = () => {}
		let reject: Entry['reject'] = () => {}
		const stored = new Promise<StoredReceipt>((...settle) => {
			;[resolve, reject] = settle
		})
		stored.catch(() => {}) // flush and close report it, too
		this.#last = stored
		const bytes = new TextEncoder().encode(text).length
		return { event: JSON.parse(text) as OutgoingEvent, bytes, stored, resolve, reject }
	}

	#waitForRoom(entry: Entry): Promise<void> {
		if (this.#calls.length >= MAX_WAITING_CALLS) {
			const message = `${MAX_WAITING_CALLS} calls of publish already wait for room. Await each call before the next one.`
			throw new PlanstreamError('rate_limited', message, { limit: MAX_WAITING_CALLS })
		}
		return new Promise((accept, refuse) => this.#calls.push({ entry, accept, refuse }))
	}

	#take(entry: Entry): void {
		this.#outbox.add(entry)
		if (this.#sending) return
		this.#sending = true
		// One turn later, so that events published in one turn share a batch.
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
			for (const { event, resolve } of batch) resolve(findReceipt(event, byId))
			this.#outbox.settle(batch)
			this.#admit()
		} catch (thrown) {
			const error = asPlanstreamError(thrown)
			for (const { reject } of batch) reject(error)
			this.#outbox.settle(batch)
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

	/** Stops for good: sending more after a batch that was not stored would break the order. */
	#stop(error: PlanstreamError): void {
		if (this.#state === 'stopped' || this.#state === 'closed') return
		this.#state = 'stopped'
		this.#stoppedBy = error
		this.#ports.scope.leave(this.#controller)
		for (const { reject } of this.#outbox.clear()) reject(createNotSentError(error))
		for (const { entry, refuse } of this.#calls.splice(0)) {
			entry.reject(createNotSentError(error))
			refuse(createNotSentError(error))
		}
	}
}

/** @throws PlanstreamError `bad_request` for a malformed id; an event of a step needs its `step_id` */
function assertEventIds(event: EventInput): void {
	if (event.event_id !== undefined) assertId('event_id', event.event_id)
	if (event.step_id != null || /^step_/.test(event.event_type)) assertId('step_id', event.step_id)
}

function serialize(event: OutgoingEvent): string {
	try {
		return JSON.stringify(event)
	} catch (cause) {
		const message = `The event is not JSON: ${cause instanceof Error ? cause.message : String(cause)}. Publish plain data.`
		throw new PlanstreamError('invalid_event', message, {}, { cause })
	}
}

function findReceipt({ event_id }: OutgoingEvent, results: ReadonlyMap<string, StoredReceipt>): StoredReceipt {
	const result = results.get(event_id)
	if (result !== undefined) return result
	throw new PlanstreamError(
		'internal',
		`The server's response does not mention event ${event_id}. The server may be of another version.`,
		{ event_id },
	)
}

function createNotSentError(cause: PlanstreamError): PlanstreamError {
	const message = `The publisher has stopped, so this event was not sent. Cause: ${cause.message}`
	return new PlanstreamError('illegal_transition', message, { stopped_by: cause.code }, { cause })
}
