import type { Socket } from 'node:net'
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import { openReader } from './reader.js'
import type { Subject } from './subjects.js'

/** Maximum events of one run, within the limit of an external plan. */
export const MAX_EVENTS = 900_000
const CONNECTING_AT_ONCE = 50
/** One reader in this many inflates; the others count frames, since inflating all would saturate the load generator. */
const READERS_PER_INFLATING_ONE = 100
/** After this time without a delivery, something was lost. */
const STALL_MS = 20_000

/** The size of the audience. */
export interface Crowd {
	readonly subscribers: number
	/** Number of plans, with equally many subscribers each. */
	readonly plans: number
}

interface Waiting {
	readonly met: () => boolean
	readonly resolve: () => void
	readonly reject: (error: Error) => void
}

/**
 * All subscribers. Each must get every event of its plan once and in order; anything else ends the run. Disposing it closes their
 * connections.
 */
export class Audience implements Disposable {
	/** Called whenever another event has reached all readers of its plan. */
	onCompleted: () => void = () => undefined
	/** Latencies of stamped events in microseconds. */
	readonly latency: RecordableHistogram = createHistogram()
	readonly #subject: Subject
	readonly #sockets: Socket[] = []
	readonly #plans: number
	/** Readers of one plan. */
	readonly #size: number
	/** Number of readers that have received each event. */
	readonly #reached = new Uint16Array(MAX_EVENTS)
	#completed = 0
	#delivered = 0
	#bytes = 0
	#fault: Error | null = null
	#waiting: Waiting | null = null

	private constructor(subject: Subject, { subscribers, plans }: Crowd) {
		this.#subject = subject
		this.#plans = plans
		this.#size = subscribers / plans
	}

	static async open(subject: Subject, port: number, crowd: Crowd): Promise<Audience> {
		const audience = new Audience(subject, crowd)
		await audience.join(port, crowd.subscribers)
		return audience
	}

	/** Connects readers and distributes them over the plans. */
	async join(port: number, count: number): Promise<void> {
		const last = this.#sockets.length + count
		while (this.#sockets.length < last) {
			const first = this.#sockets.length
			const some = Math.min(CONNECTING_AT_ONCE, last - first)
			await Promise.all(Array.from({ length: some }, (_, index) => this.#join(port, first + index)))
		}
	}

	/** Connects readers that never read, and do not count. */
	async stall(port: number, count: number): Promise<void> {
		for (let index = 0; index < count; index++) {
			const ignored = { onBytes: () => undefined, onEvent: () => undefined, onFault: () => undefined }
			this.#sockets.push(await openReader({ port, subject: this.#subject, plan: 0, stalled: true, inflates: false, ...ignored }))
		}
	}

	/** Number of events that have reached all readers of their plan. */
	get completed(): number {
		return this.#completed
	}

	/** Deliveries to all readers together. */
	get delivered(): number {
		return this.#delivered
	}

	get bytes(): number {
		return this.#bytes
	}

	/**
	 * Waits until a condition holds, checked after each delivery.
	 *
	 * @throws Error when a reader gets a wrong event, loses its connection, or deliveries stop
	 */
	async until(met: () => boolean): Promise<void> {
		if (this.#fault !== null) throw this.#fault
		if (met()) return
		let seen = this.#delivered
		const watch = setInterval(() => {
			if (seen === this.#delivered) this.#fail(this.#createStallError())
			seen = this.#delivered
		}, STALL_MS)
		try {
			await new Promise<void>((resolve, reject) => {
				this.#waiting = { met, resolve, reject }
			})
		} finally {
			clearInterval(watch)
			this.#waiting = null
		}
	}

	[Symbol.dispose](): void {
		for (const socket of this.#sockets) {
			socket.removeAllListeners()
			socket.destroy()
		}
	}

	async #join(port: number, index: number): Promise<void> {
		const plan = index % this.#plans
		let due = plan
		const socket = await openReader({
			port,
			subject: this.#subject,
			plan,
			stalled: false,
			inflates: index % READERS_PER_INFLATING_ONE === 0,
			onBytes: (count) => {
				this.#bytes += count
			},
			onEvent: (seq, stamp) => {
				if (seq !== due) this.#fail(new Error(`A reader of ${this.#subject.name} got event ${seq}, expected ${due}.`))
				due += this.#plans
				this.#take(seq, stamp)
			},
			onFault: (error) => this.#fail(error),
		})
		this.#sockets.push(socket)
	}

	#take(seq: number, stamp: number): void {
		this.#delivered++
		if (stamp !== 0) this.latency.record(Math.max(1, Math.round(performance.now() * 1000 - stamp)))
		const reached = (this.#reached[seq] ?? 0) + 1
		this.#reached[seq] = reached
		if (reached < this.#size) return
		this.#completed++
		this.onCompleted()
		if (this.#waiting?.met() === true) this.#waiting.resolve()
	}

	#createStallError(): Error {
		const { name } = this.#subject
		return new Error(
			`${name} delivered nothing for ${STALL_MS / 1000} s: ${this.#completed} events reached all ${this.#size} readers of their plan, the next one did not.`,
		)
	}

	#fail(error: Error): void {
		this.#fault ??= error
		this.#waiting?.reject(this.#fault)
	}
}
