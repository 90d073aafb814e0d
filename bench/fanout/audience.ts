import type { Socket } from 'node:net'
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import { openReader } from './reader.js'
import type { Subject } from './subjects.js'

/** Events of one run at most; also what a plan of others may have. */
export const MAX_EVENTS = 900_000
const CONNECTING_AT_ONCE = 50
/** One of so many readers reads what is compressed; the others count it, or the load generator would do nothing else. */
const READERS_TO_ONE_WHO_INFLATES = 100
/** Nothing arrives for so long: then something was lost. */
const STALL_MS = 20_000

/** Who watches. */
export interface Crowd {
	readonly subscribers: number
	/** How many plans they watch, as many each. */
	readonly plans: number
}

interface Waiting {
	readonly met: () => boolean
	readonly resolve: () => void
	readonly reject: (error: Error) => void
}

/**
 * All subscribers. Each must get every event of its plan once and in order: anything else ends the run. Disposing it closes their connections.
 */
export class Audience implements Disposable {
	/** Called whenever another event has reached everybody. */
	onCompleted: () => void = () => undefined
	/** Latencies in microseconds, of stamped events. */
	readonly latency: RecordableHistogram = createHistogram()
	readonly #subject: Subject
	readonly #sockets: Socket[] = []
	readonly #plans: number
	/** Readers of one plan. */
	readonly #size: number
	/** How many readers have got each event. */
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

	/** Connects so many, who take turns at the plans. */
	async join(port: number, count: number): Promise<void> {
		const last = this.#sockets.length + count
		while (this.#sockets.length < last) {
			const first = this.#sockets.length
			const some = Math.min(CONNECTING_AT_ONCE, last - first)
			await Promise.all(Array.from({ length: some }, (_, index) => this.#join(port, first + index)))
		}
	}

	/** Connects so many who take nothing and are not counted. */
	async stall(port: number, count: number): Promise<void> {
		for (let index = 0; index < count; index++) {
			const ignored = { onBytes: () => undefined, onEvent: () => undefined, onFault: () => undefined }
			this.#sockets.push(await openReader({ port, subject: this.#subject, plan: 0, stalled: true, inflates: false, ...ignored }))
		}
	}

	/** Events that have reached everybody. */
	get completed(): number {
		return this.#completed
	}

	/** Events that have arrived, at all readers together. */
	get delivered(): number {
		return this.#delivered
	}

	get bytes(): number {
		return this.#bytes
	}

	/**
	 * Waits for what readers bring about.
	 *
	 * @throws Error when a reader got a wrong event or lost its connection, or when nothing arrives any more
	 */
	async until(met: () => boolean): Promise<void> {
		if (this.#fault !== null) throw this.#fault
		if (met()) return
		let seen = this.#delivered
		const watch = setInterval(() => {
			if (seen === this.#delivered) this.#fail(this.#stalled())
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
			inflates: index % READERS_TO_ONE_WHO_INFLATES === 0,
			onBytes: (count) => {
				this.#bytes += count
			},
			onEvent: (seq, stamp) => {
				if (seq !== due) this.#fail(new Error(`A reader of ${this.#subject.name} got event ${seq} where ${due} was due.`))
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

	#stalled(): Error {
		const { name } = this.#subject
		return new Error(
			`${name} delivered nothing for ${STALL_MS / 1000} s: ${this.#completed} events reached all ${this.#size} readers of their plan, one more not.`,
		)
	}

	#fail(error: Error): void {
		this.#fault ??= error
		this.#waiting?.reject(this.#fault)
	}
}
