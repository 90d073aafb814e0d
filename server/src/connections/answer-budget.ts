import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { PlanstreamError } from '@planstream/shared'
import type { Schedule } from '../ops/clock.js'
import { FairBudget } from '../ops/fair-budget.js'
import type { ServerLimits } from '../ops/limits.js'

/** Looks at the unread bytes per stall timeout: the precision of the timeout. */
const LOOKS_PER_TIMEOUT = 30
/** Part of the stall timeout, as a divisor, that a client has to take something after it was told of the end. */
const GRACE_PER_TIMEOUT = 6
const RETRY_AFTER_MS = 1000
/** Time that a large answer may wait until it can be made. */
const MAX_WAIT_MS = 10_000
/** Part of the limit, as a divisor, that a tenant may have waiting without being refused or cut for what others leave unread. */
const TENANT_SHARE = 16
/** Answers below this are made at once. */
const SMALL_BYTES = 65_536
/** Taken by an answer that is made at once. */
const NOTHING: Disposable = { [Symbol.dispose]: () => undefined }

/** An answer, or a connection with streams, whose bytes may wait for its client. */
export interface UnreadOutput {
	/** The tenant of its client; empty while that is unknown. */
	readonly tenant: string
	/** Bytes in this process that the client has not taken. */
	readonly queued: number
	/** Changes whenever the client has taken bytes. */
	readonly progress: number
	/** Whether there is nothing more to watch. */
	readonly isOver: boolean
	/** Ends it in order, when the client has taken nothing for the timeout. */
	giveUp(reason: PlanstreamError): void
	/** Closes its connection at once. */
	terminate(): void
}

export interface AnswerBudgetOptions {
	/** The bytes that may wait, and those of large answers that may be made at one time; read anew each time. */
	readonly limits: () => Pick<ServerLimits, 'connection_bytes' | 'answers_bytes' | 'working_bytes'>
	/** Milliseconds that a client may take nothing of what waits for it. */
	readonly stallTimeoutMs: number
	/** Monotonic milliseconds. */
	readonly clock: () => number
	readonly schedule: Schedule
}

/** Bytes that are counted until this is disposed. */
export interface HeldBytes extends Disposable {
	resize(bytes: number): void
}

interface Watched {
	/** The tenant that the bytes are counted for. */
	readonly tenant: string
	bytes: number
	progress: number
	/** Time of the last look that found progress. */
	progressAt: number
	isLeaving: boolean
	/** Milliseconds without progress after which it is ended, or terminated. */
	patienceMs: number
}

/**
 * The bytes of all answers that wait for their clients, and of requests that have not arrived completely. Output that nobody takes is ended after the timeout, and terminated when still
 * nothing is taken of it in a sixth of that time. Beyond the limit new answers are refused, and what has waited longest without progress is terminated.
 */
export class AnswerBudget {
	readonly #options: AnswerBudgetOptions
	readonly #watched = new Map<UnreadOutput, Watched>()
	readonly #making: FairBudget
	#fresh: UnreadOutput[] = []
	#bytes = 0
	/** Bytes of each tenant that has any. */
	readonly #tenants = new Map<string, number>()
	#timer: Disposable | null = null

	constructor(options: AnswerBudgetOptions) {
		this.#options = options
		this.#making = new FairBudget(() => options.limits().working_bytes)
	}

	/** Bytes that the answers of one connection or request may have. */
	get connectionBytes(): number {
		return this.#options.limits().connection_bytes
	}

	/** Bytes that waited at the last look. */
	get bytes(): number {
		return this.#bytes
	}

	/**
	 * Tenants that have little of it waiting are not refused for what others leave unread.
	 *
	 * @throws PlanstreamError `overloaded` while too many bytes wait
	 */
	assertRoom(tenant: string): void {
		const limit = this.#options.limits().answers_bytes
		if (this.#bytes < limit) return
		this.#look()
		if (this.#bytes < limit || !this.#isOverShare(tenant)) return
		const message = `Answers and unfinished requests of more than ${limit} bytes wait for their clients. Ask again in a second.`
		throw new PlanstreamError('overloaded', message, { limit, retry_after_ms: RETRY_AFTER_MS })
	}

	/**
	 * Waits until a large answer may be made, tenants by turns. Disposing the result, once the answer is written, makes room for another.
	 *
	 * @param bytes - an estimate of the answer
	 * @throws PlanstreamError `overloaded` when that takes too long, or too many bytes wait
	 */
	async reserve(tenant: string, bytes: number): Promise<Disposable> {
		if (bytes < SMALL_BYTES) return NOTHING
		const room = this.#making.tryTake(bytes) ?? (await this.#waitForTurn(tenant, bytes))
		try {
			this.assertRoom(tenant)
		} catch (refused) {
			room[Symbol.dispose]()
			throw refused
		}
		// A caller passes its answer on in this turn of the event loop. It is counted in the next one, before the room is given back.
		return { [Symbol.dispose]: () => void setImmediate(() => setImmediate(() => room[Symbol.dispose]())) }
	}

	/** Counts bytes that wait for anything else, such as the rest of a request, until the result is disposed. */
	hold(tenant: string, bytes: number): HeldBytes {
		const held = { tenant, bytes: 0 }
		const resize = (now: number): void => this.#count(held, now)
		resize(bytes)
		return { resize, [Symbol.dispose]: () => resize(0) }
	}

	#waitForTurn(tenant: string, bytes: number): Promise<Disposable> {
		const late = new AbortController()
		const timer = this.#options.schedule(() => {
			const message = `Other large answers were made for ${MAX_WAIT_MS / 1000} seconds. Ask again in a second.`
			late.abort(new PlanstreamError('overloaded', message, { retry_after_ms: RETRY_AFTER_MS }))
		}, MAX_WAIT_MS)
		return this.#making.take(tenant, bytes, late.signal).finally(() => timer[Symbol.dispose]())
	}

	/** Watches an answer that is about to be written. One that is taken at once costs one look. */
	add(output: UnreadOutput): void {
		if (this.#fresh.push(output) === 1) setImmediate(() => this.#lookAtFresh())
	}

	/** Watches output that found no room. */
	watch(output: UnreadOutput): void {
		const known = this.#watched.get(output)
		if (known !== undefined) {
			this.#count(known, output.queued)
			return
		}
		const { tenant, progress, queued } = output
		const watched = {
			tenant,
			bytes: 0,
			progress,
			progressAt: this.#options.clock(),
			isLeaving: false,
			patienceMs: this.#options.stallTimeoutMs,
		}
		this.#watched.set(output, watched)
		this.#count(watched, queued)
		this.#lookLater()
	}

	#lookAtFresh(): void {
		const fresh = this.#fresh
		this.#fresh = []
		for (const output of fresh) if (!output.isOver) this.watch(output)
	}

	#lookLater(): void {
		this.#timer ??= this.#options.schedule(() => {
			this.#timer = null
			this.#look()
			if (this.#watched.size > 0) this.#lookLater()
		}, this.#options.stallTimeoutMs / LOOKS_PER_TIMEOUT)
	}

	/** Counts again, ends what has stalled, and makes room. */
	#look(): void {
		const now = this.#options.clock()
		for (const [output, watched] of this.#watched) {
			if (output.isOver) this.#remove(output, watched)
			else this.#lookAt(output, watched, now)
		}
		if (this.#bytes > this.#options.limits().answers_bytes) this.#makeRoom(now)
	}

	#lookAt(output: UnreadOutput, watched: Watched, now: number): void {
		const { queued, progress } = output
		this.#count(watched, queued)
		if (queued === 0 || progress !== watched.progress) {
			watched.progress = progress
			watched.progressAt = now
			watched.patienceMs = this.#options.stallTimeoutMs
		} else if (now - watched.progressAt >= watched.patienceMs) {
			if (watched.isLeaving) output.terminate()
			else output.giveUp(new PlanstreamError('slow_consumer', 'The client stopped reading. Reconnect to resume.'))
			watched.isLeaving = true
			watched.progressAt = now
			watched.patienceMs = this.#options.stallTimeoutMs / GRACE_PER_TIMEOUT
		}
	}

	/**
	 * Terminates what has waited longest, of tenants with much of it if there are any, but nothing whose client has taken something
	 * since the last look.
	 */
	#makeRoom(now: number): void {
		const limit = this.#options.limits().answers_bytes
		const interval = this.#options.stallTimeoutMs / LOOKS_PER_TIMEOUT
		const hasLoud = [...this.#tenants.keys()].some((tenant) => this.#isOverShare(tenant))
		const stalled = [...this.#watched].filter(([, { tenant, bytes, progressAt }]) => {
			return bytes > 0 && now - progressAt >= interval && (!hasLoud || this.#isOverShare(tenant))
		})
		stalled.sort(([, one], [, other]) => one.progressAt - other.progressAt)
		for (const [output, watched] of stalled) {
			if (this.#bytes <= limit) return
			this.#remove(output, watched)
			output.terminate()
		}
	}

	#isOverShare(tenant: string): boolean {
		return (this.#tenants.get(tenant) ?? 0) * TENANT_SHARE >= this.#options.limits().answers_bytes
	}

	#count(counted: Pick<Watched, 'tenant' | 'bytes'>, bytes: number): void {
		const { tenant } = counted
		const added = bytes - counted.bytes
		if (added === 0) return
		counted.bytes = bytes
		this.#bytes += added
		const sum = (this.#tenants.get(tenant) ?? 0) + added
		if (sum === 0) this.#tenants.delete(tenant)
		else this.#tenants.set(tenant, sum)
	}

	#remove(output: UnreadOutput, watched: Watched): void {
		this.#count(watched, 0)
		this.#watched.delete(output)
	}
}

/**
 * Measures the progress of a socket. `bytesWritten` and `writableLength` tell of whole writes only; the write that is under way may be an
 * answer of megabytes, and its handle knows how much of it has left this process.
 */
export function socketProgress(socket: Socket): number {
	const { _handle: handle } = socket as { _handle?: { readonly writeQueueSize?: number } | null }
	return socket.bytesWritten - socket.writableLength - (handle?.writeQueueSize ?? 0)
}

/** An HTTP answer that is not a stream of events. */
export class HttpAnswer implements UnreadOutput {
	readonly tenant: string
	readonly #outgoing: ServerResponse

	constructor(outgoing: ServerResponse, tenant: string) {
		this.#outgoing = outgoing
		this.tenant = tenant
	}

	get queued(): number {
		return this.#outgoing.socket?.writableLength ?? 0
	}

	get progress(): number {
		const { socket } = this.#outgoing
		return socket === null ? 0 : socketProgress(socket)
	}

	get isOver(): boolean {
		return this.#outgoing.closed || this.#outgoing.destroyed
	}

	giveUp(): void {
		this.#outgoing.destroy()
	}

	terminate(): void {
		this.#outgoing.destroy()
	}
}
