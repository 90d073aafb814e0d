import type { PlanstreamError } from '@planstream/shared'
import type { Hub } from '../hub/hub.js'
import type { PlanReader, ReadOptions } from '../hub/reader.js'
import type { Principal, StreamItem } from '../hub/stream.js'
import { endReason } from '../hub/subscribe.js'
import { type PlanKey, planKey } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'
import { takeChunk } from './group.js'
import { PlanLoop } from './plan-loop.js'
import type { Member, Seat, StreamTarget } from './target.js'

/** How many portions a second is cut into. */
const PORTIONS = 10

/** Lets a reader have so many events a second, in portions. Disposing it ends a wait. */
export class RateLimit implements Disposable {
	/** Events at one time. */
	readonly portion: number
	readonly #perSecond: number
	readonly #schedule: Schedule
	#end: () => void = () => undefined

	constructor(perSecond: number, schedule: Schedule) {
		this.portion = Math.max(1, Math.floor(perSecond / PORTIONS))
		this.#perSecond = perSecond
		this.#schedule = schedule
	}

	/** Waits as long as so many events are to take. */
	async after(events: number): Promise<void> {
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

/** What is counted of all deliveries together. */
export interface FanoutCounts {
	/** How often a reader had no room for more and was served from the log. */
	fellBehind: number
	/** Streams that were ended because nothing moved. */
	slow: number
}

/** What the deliveries of one plan share. */
export interface SubscribedPlan {
	readonly loop: PlanLoop
	readonly counts: FanoutCounts
	/** One of them is over. */
	readonly leave: () => void
}

/**
 * One stream on its way to its reader: it reads from the log and hands over while there is room, and is a member of the plan's loop when
 * it has come to the head. Start, resume, a change of the verdict and a reader that had no room are one and the same. It keeps nothing
 * but a position. Disposing it ends it without a word.
 */
export class Subscriber implements Member, Disposable {
	readonly reader: PlanReader
	readonly outlet: StreamTarget
	readonly #plan: SubscribedPlan
	readonly #rate: RateLimit | null
	group: Seat | null = null
	sent = 0
	/** The first frame was handed over, and a last one may be. */
	#begun = false
	#ending: PlanstreamError | null = null
	#over = false

	/** @param pace - null: as fast as the reader takes it */
	constructor(reader: PlanReader, outlet: StreamTarget, room: SubscribedPlan, pace: RateLimit | null) {
		this.reader = reader
		this.outlet = outlet
		this.#plan = room
		this.#rate = pace
	}

	get plan_id(): string {
		return this.reader.plan.plan_id
	}

	get isPaced(): boolean {
		return this.#rate !== null
	}

	/** Starts, or goes on when there is more, or room again. */
	resume(): void {
		if (!this.#over) void this.#readToHead()
	}

	onBackpressure(): void {
		this.#plan.counts.fellBehind++
		this.resume()
	}

	/** How many events were handed over. */
	get delivered(): number {
		return this.sent + (this.group?.events ?? 0)
	}

	/** Where the reader resumes. */
	get cursor(): string {
		return this.group === null ? this.reader.cursor : this.#plan.loop.cursor
	}

	/** Ends the stream with a last frame, whether there is room or not, so that its reader resumes elsewhere. */
	end(why: PlanstreamError): void {
		if (this.#over || this.reader.endFrame !== null) return
		this.#ending = why
		if (!this.#begun) return
		this.#plan.loop.leave(this)
		const reason = endReason(why) ?? 'draining'
		if (reason === 'slow') this.#plan.counts.slow++
		const end = this.reader.end(reason, true)
		this.outlet.sink.write(this.outlet.wire.encode(end))
		this[Symbol.dispose]()
		this.outlet.ended(end.frame)
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
			this.outlet.failed(thrown, this.reader.cursor)
		}
	}

	/** @returns whether to go on reading */
	async #readPage(): Promise<boolean> {
		const { reader } = this
		const page = await reader.read()
		const items = (await reader.items(page))[Symbol.iterator]()
		if (this.#over) return false
		this.#plan.loop.advance(page)
		if (!this.#begun && !this.#begin()) return false
		while (await this.#sendNext(items));
		if (this.#over) return false
		if (reader.endFrame === null) return !(reader.atHead && this.#plan.loop.join(this))
		this[Symbol.dispose]()
		this.outlet.ended(reader.endFrame)
		return false
	}

	#begin(): boolean {
		const { pendingReady: news } = this.reader
		if (news === null || this.outlet.begin?.(news) !== false) return true
		this[Symbol.dispose]()
		return false
	}

	/** @returns whether there may be more items */
	async #sendNext(items: Iterator<StreamItem>): Promise<boolean> {
		const events = await this.#send(items, this.#rate?.portion)
		if (events === null) return false
		await this.#rate?.after(events)
		return !this.#over
	}

	/** @returns how many events were handed over; null when there was nothing, or when nobody wants it any more */
	async #send(items: Iterator<StreamItem>, most?: number): Promise<number | null> {
		using _turn = await this.outlet.turn()
		if (this.#over) return null
		const chunk = takeChunk(items, this.outlet.wire, most)
		if (chunk === null) return null
		this.outlet.sink.write(chunk.bytes)
		this.sent += chunk.events
		this.#begun = true
		if (this.#ending !== null) this.end(this.#ending)
		return chunk.events
	}
}

export interface FanoutReport {
	/** Streams that are open. */
	readonly streams: number
	/** Those whose reader has everything. */
	readonly waiting: number
	/** Plans that have such readers. */
	readonly plans: number
	/** How often a reader had no room for more and was served from the log, since the start. */
	readonly fell_behind: number
	/** Streams that were ended because their reader took nothing, since the start. */
	readonly slow: number
}

interface OpenPlan extends SubscribedPlan {
	readonly plan: PlanKey
	streams: number
}

/** Every stream of plan events, whatever its transport; those of one plan share one loop. */
export class Fanout {
	readonly #hub: Hub
	readonly #schedule: Schedule
	readonly #clock: () => number
	readonly #plans = new Map<string, OpenPlan>()
	readonly #counts: FanoutCounts = { fellBehind: 0, slow: 0 }

	/** @param clock - in milliseconds, never set back */
	constructor(hub: Hub, schedule: Schedule, clock: () => number) {
		this.#hub = hub
		this.#schedule = schedule
		this.#clock = clock
	}

	/** Begins to deliver a plan's events; disposing what it returns ends that without a word. */
	deliver(principal: Principal, plan_id: string, request: ReadOptions, outlet: StreamTarget): Subscriber {
		const open = this.#open({ tenant: principal.tenant, plan_id })
		open.streams++
		const pace = request.max_events_per_s === undefined ? null : new RateLimit(request.max_events_per_s, this.#schedule)
		const delivery = new Subscriber(this.#hub.reader(open.plan, request), outlet, open, pace)
		delivery.resume()
		return delivery
	}

	report(): FanoutReport {
		const plans = [...this.#plans.values()]
		const waiting = plans.map(({ loop: live }) => live.waiting)
		return {
			streams: plans.reduce((sum, { streams }) => sum + streams, 0),
			waiting: waiting.reduce((sum, count) => sum + count, 0),
			plans: waiting.filter((count) => count > 0).length,
			fell_behind: this.#counts.fellBehind,
			slow: this.#counts.slow,
		}
	}

	/** What belongs to a plan is there once, however many streams it has. */
	#open(plan: PlanKey): OpenPlan {
		const key = planKey(plan)
		const known = this.#plans.get(key)
		if (known !== undefined) return known
		const leave = (): void => {
			if (--open.streams === 0) this.#plans.delete(key)
		}
		const open: OpenPlan = { plan, loop: this.#live(plan), counts: this.#counts, streams: 0, leave }
		this.#plans.set(key, open)
		return open
	}

	#live(plan: PlanKey): PlanLoop {
		return new PlanLoop({
			read: (after, limit) => this.#hub.read(plan, after, limit),
			watch: (onGrow) => this.#hub.watch(plan, onGrow),
			schedule: this.#schedule,
			clock: this.#clock,
		})
	}
}
