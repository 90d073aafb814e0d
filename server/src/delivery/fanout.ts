import { setMaxListeners } from 'node:events'
import type { PlanstreamError } from '@planstream/shared'
import type { Hub } from '../hub/hub.js'
import type { Principal } from '../hub/principal.js'
import type { PlanReader, ReadOptions } from '../hub/reader.js'
import type { StreamItem } from '../hub/stream.js'
import { toEndReason } from '../hub/subscribe.js'
import { type PlanKey, planKey } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'
import { type BroadcastGroup, type Member, takeChunk } from './group.js'
import { PlanLoop, type PlanLoopSource } from './plan-loop.js'
import type { StreamTarget } from './target.js'

/** Waits for a turn but not for room: a page that cannot be handed on at once is dropped and read again later. */
const AT_ONCE = AbortSignal.abort()
setMaxListeners(0, AT_ONCE)

/** Portions that one second is divided into. */
const PORTIONS = 10

/** Limits the events per second of one reader, in portions. Disposing it ends a wait. */
export class RateLimit implements Disposable {
	/** Events per portion. */
	readonly portion: number
	readonly #perSecond: number
	readonly #schedule: Schedule
	#end: () => void = () => undefined

	constructor(perSecond: number, schedule: Schedule) {
		this.portion = Math.max(1, Math.floor(perSecond / PORTIONS))
		this.#perSecond = perSecond
		this.#schedule = schedule
	}

	/** Waits for as long as this many events take at the limit. */
	async waitAfter(events: number): Promise<void> {
		if (events === 0) return
		let resolve = (): void => undefined
		const promise = new Promise<void>((done) => {
			resolve = done
		})
		using _timer = this.#schedule(resolve, (events * 1000) / this.#perSecond)
		this.#end = resolve
		await promise
	}

	[Symbol.dispose](): void {
		this.#end()
	}
}

/** Counters over all streams. */
export interface FanoutCounts {
	/** Number of times a reader had no room for more and went back to reading from the log. */
	fellBehind: number
	/** Streams ended because their reader had stalled. */
	slow: number
}

/** The parts that the streams of one plan share. */
export interface SubscribedPlan {
	readonly loop: PlanLoop
	readonly counts: FanoutCounts
	/** Called once per stream, when it is over. */
	readonly leave: () => void
}

/**
 * One stream to one reader. It reads from the log and writes while there is room, and joins the plan's loop at the head. Start, resume, a
 * reset and recovery from backpressure are the same code. It stores nothing but a position. Disposing it ends it without an `end` frame.
 */
export class Subscriber implements Member, Disposable {
	readonly reader: PlanReader
	readonly target: StreamTarget
	readonly #plan: SubscribedPlan
	readonly #rate: RateLimit | null
	group: BroadcastGroup | null = null
	sent = 0
	/** Whether the first frame was written, so that an `end` frame may follow. */
	#begun = false
	#ending: PlanstreamError | null = null
	/** Whether the rest of a page was dropped because the connection had no room for it. */
	#lacksRoom = false
	#over = false

	/** @param rate - null: as fast as the client reads */
	constructor(reader: PlanReader, target: StreamTarget, plan: SubscribedPlan, rate: RateLimit | null) {
		this.reader = reader
		this.target = target
		this.#plan = plan
		this.#rate = rate
	}

	get plan_id(): string {
		return this.reader.plan.plan_id
	}

	get isPaced(): boolean {
		return this.#rate !== null
	}

	/** Starts or continues to read from the log. */
	resume(): void {
		if (!this.#over) void this.#readToHead()
	}

	onBackpressure(): void {
		this.#plan.counts.fellBehind++
		this.resume()
	}

	/** Number of events written. */
	get delivered(): number {
		return this.sent + (this.group?.events ?? 0)
	}

	/** The cursor from which the client resumes. */
	get cursor(): string {
		return this.group === null ? this.reader.cursor : this.#plan.loop.cursor
	}

	/** Ends the stream with an `end` frame, whether there is room or not, so that the client resumes elsewhere. */
	end(cause: PlanstreamError): void {
		if (this.#over || this.reader.endFrame !== null) return
		this.#ending = cause
		if (!this.#begun) return
		this.#plan.loop.leave(this)
		const reason = toEndReason(cause) ?? 'draining'
		if (reason === 'slow') this.#plan.counts.slow++
		const end = this.reader.end(reason, true)
		this.target.sink.write(this.target.encoding.encode(end))
		this[Symbol.dispose]()
		this.target.ended(end.frame)
	}

	[Symbol.dispose](): void {
		if (this.#over) return
		this.#over = true
		this.#rate?.[Symbol.dispose]()
		this.#plan.loop.leave(this)
		this.reader[Symbol.dispose]()
		this.#plan.leave()
	}

	async #readToHead(): Promise<void> {
		try {
			while (await this.#readPage());
		} catch (thrown) {
			if (this.#over) return
			this[Symbol.dispose]()
			this.target.failed(thrown, this.reader.cursor)
		}
	}

	/** @returns whether to read another page */
	async #readPage(): Promise<boolean> {
		const { reader } = this
		using room = await this.#takeRoom()
		if (this.#over) return false
		const page = await reader.read()
		const items = (await reader.items(page))[Symbol.iterator]()
		if (this.#over) return false
		this.#plan.loop.advance(page)
		if (!this.#begun && !this.#begin()) return false
		if (room === null) while (await this.#sendNext(items));
		else while (this.#fill(items));
		if (this.#over) return false
		if (this.#lacksRoom && reader.endFrame === null) {
			reader.dropState()
			return true
		}
		if (reader.endFrame === null) return !(reader.atHead && this.#plan.loop.join(this))
		this[Symbol.dispose]()
		this.target.ended(reader.endFrame)
		return false
	}

	/**
	 * After a page was dropped for want of room, waits for it without one. The turn then lasts until the page is written or the room is
	 * used up, so that of all streams of a connection that takes nothing only one has a page.
	 *
	 * @returns null when each chunk has to take its own turn
	 */
	async #takeRoom(): Promise<Disposable | null> {
		if (!this.#lacksRoom) return null
		const turn = await this.target.turn()
		this.#lacksRoom = false
		if (!this.isPaced) return turn
		turn?.[Symbol.dispose]()
		return null
	}

	#begin(): boolean {
		const { pendingReady } = this.reader
		if (pendingReady === null || this.target.begin?.(pendingReady) !== false) return true
		this[Symbol.dispose]()
		return false
	}

	/** @returns whether there may be more items */
	async #sendNext(items: Iterator<StreamItem>): Promise<boolean> {
		const events = await this.#send(items, this.#rate?.portion)
		if (events === null) return false
		await this.#rate?.waitAfter(events)
		return !this.#over
	}

	/** @returns the number of events written; null at the end of the items or after the stream is over */
	async #send(items: Iterator<StreamItem>, most?: number): Promise<number | null> {
		using turn = await this.target.turn(AT_ONCE)
		if (this.#over) return null
		this.#lacksRoom = turn === null
		if (turn === null) return null
		return this.#write(items, most)?.events ?? null
	}

	/** Writes under a turn that lasts. @returns whether there may be more items, and there is room for them */
	#fill(items: Iterator<StreamItem>): boolean {
		const written = this.#write(items)
		this.#lacksRoom = written?.hasRoom === false
		return written !== null && !this.#lacksRoom && !this.#over
	}

	#write(items: Iterator<StreamItem>, most?: number): { readonly events: number; readonly hasRoom: boolean } | null {
		const chunk = takeChunk(items, this.target.encoding, most)
		if (chunk === null) return null
		const hasRoom = this.target.sink.write(chunk.bytes)
		this.sent += chunk.events
		this.#begun = true
		if (this.#ending !== null) this.end(this.#ending)
		return { events: chunk.events, hasRoom }
	}
}

export interface FanoutReport {
	/** Streams that are open. */
	readonly streams: number
	/** Streams at the head of their plan. */
	readonly waiting: number
	/** Plans with streams at the head. */
	readonly plans: number
	/** Number of times a reader had no room for more and went back to reading from the log, since the start. */
	readonly fell_behind: number
	/** Streams ended because their reader had stalled, since the start. */
	readonly slow: number
}

interface OpenPlan extends SubscribedPlan {
	readonly plan: PlanKey
	streams: number
}

/** All streams of plan events, over every transport. The streams of one plan share one loop. */
export class Fanout {
	readonly #hub: Hub
	readonly #source: PlanLoopSource
	readonly #plans = new Map<string, OpenPlan>()
	readonly #counts: FanoutCounts = { fellBehind: 0, slow: 0 }

	constructor(hub: Hub, source: PlanLoopSource) {
		this.#hub = hub
		this.#source = source
	}

	/** Starts to deliver the events of a plan. Disposing the result stops without an `end` frame. */
	deliver(principal: Principal, plan_id: string, request: ReadOptions, target: StreamTarget): Subscriber {
		const open = this.#open({ tenant: principal.tenant, plan_id })
		open.streams++
		const { max_events_per_s } = request
		const rate = max_events_per_s === undefined ? null : new RateLimit(max_events_per_s, this.#source.schedule)
		const subscriber = new Subscriber(this.#hub.reader(open.plan, request), target, open, rate)
		subscriber.resume()
		return subscriber
	}

	report(): FanoutReport {
		const plans = [...this.#plans.values()]
		const waiting = plans.map(({ loop }) => loop.waiting)
		return {
			streams: plans.reduce((sum, { streams }) => sum + streams, 0),
			waiting: waiting.reduce((sum, count) => sum + count, 0),
			plans: waiting.filter((count) => count > 0).length,
			fell_behind: this.#counts.fellBehind,
			slow: this.#counts.slow,
		}
	}

	/** Finds the open plan, or opens it for its first stream. */
	#open(plan: PlanKey): OpenPlan {
		const key = planKey(plan)
		const known = this.#plans.get(key)
		if (known !== undefined) return known
		const leave = (): void => {
			if (--open.streams === 0) this.#plans.delete(key)
		}
		const open: OpenPlan = { plan, loop: new PlanLoop(plan, this.#source), counts: this.#counts, streams: 0, leave }
		this.#plans.set(key, open)
		return open
	}
}
