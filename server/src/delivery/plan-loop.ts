import { isFinished, type Position, parsePosition } from '@planstream/shared'
import { placeOf } from '../hub/reader.js'
import type { Page } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'
import { WireClasses } from './group.js'
import type { LivePoint, Member } from './outlet.js'

/** A round that took less is not worth a timer, which counts in milliseconds. */
const SHORT_MS = 0.5
/** However many readers there are, nobody waits longer for the next round to begin. */
const MAX_REST_MS = 25

/**
 * Has a loop rest after each round for as long as the round took, up to a limit. So the loop leaves half of its thread to those who publish,
 * unless its rounds are longer than a rest may be, and what they publish meanwhile is one round: the more readers, the more events share the
 * price of a write. After a short round there is no rest.
 */
export class Rest {
	readonly #clock: () => number
	#until = 0

	/** @param clock - in milliseconds, never set back */
	constructor(clock: () => number) {
		this.#clock = clock
	}

	/** Milliseconds until the next round may begin; 0: at once. */
	get left(): number {
		return Math.max(0, this.#until - this.#clock())
	}

	/** Does what makes up a round. */
	after(round: () => void): void {
		const begin = this.#clock()
		round()
		const end = this.#clock()
		const took = end - begin
		this.#until = took < SHORT_MS ? 0 : end + Math.min(took, MAX_REST_MS)
	}
}

const PAGE = 256

/** What the loop reads, and what it waits by. */
export interface LiveSource {
	readonly read: (after: Position, limit: number) => Promise<Page>
	readonly watch: (onGrow: () => void) => Disposable
	readonly schedule: Schedule
	/** In milliseconds, never set back. */
	readonly clock: () => number
}

/**
 * The one loop behind all readers at the head of a plan: what was appended in one turn of the event loop, or while the loop rested, is read
 * once, encoded once for each class of readers and written once to each of them. Everybody else reads by itself, and joins when it is where the loop is.
 */
export class LivePlan {
	readonly #source: LiveSource
	readonly #classes = new Map<string, WireClasses>()
	/** Readers that read by themselves as soon as there is more. */
	readonly #apart = new Set<Member>()
	/** null while nobody waits at the head. */
	#point: LivePoint | null = null
	#watch: Disposable | null = null
	#isDue = false
	readonly #rest: Rest

	constructor(source: LiveSource) {
		this.#source = source
		this.#rest = new Rest(source.clock)
	}

	/** How many readers wait at the head. */
	get waiting(): number {
		return [...this.#classes.values()].reduce((sum, { size }) => sum + size, this.#apart.size)
	}

	/** Where those resume who wait at the head. */
	get cursor(): string {
		return this.#point?.place.cursor ?? ''
	}

	/**
	 * Takes in a reader that has read to the head.
	 *
	 * @returns false when the loop is further than the reader, which then has to read on
	 */
	join(member: Member): boolean {
		const { place, epoch, headSeq } = member.reader
		if (place === null) return false
		const point = this.#point ?? this.#begin({ place, epoch, headSeq })
		if (point.epoch !== epoch || point.place.seq > place.seq) return false
		if (member.isPaced || point.place.seq < place.seq) {
			this.#apart.add(member)
			this.#ring()
		} else this.#classesOf(member).add(member)
		return true
	}

	/** Lets a reader go, which then is where the loop is. */
	leave(member: Member): void {
		this.#apart.delete(member)
		if (this.#point !== null) member.seat?.leave(member, this.#point)
		this.#stopWhenEmpty()
	}

	/** Goes on with what anybody has read of the plan, so that the loop is not behind a reader that wants to join. */
	heed(page: Page): void {
		const point = this.#point
		if (point === null) return
		if (page.verdict.epoch !== point.epoch) this.#releaseAll(point)
		else this.#goOn(point, page)
		this.#stopWhenEmpty()
	}

	#goOn({ place: { seq }, epoch }: LivePoint, { from_seq, events, head }: Page): void {
		const news = from_seq > seq + 1 ? [] : events.slice(seq + 1 - from_seq)
		const last = news.at(-1)
		if (last === undefined || head === null) return
		const point = { place: placeOf(last), epoch, headSeq: head.head_seq }
		this.#point = point
		this.#rest.after(() => {
			for (const classes of this.#classes.values()) classes.deliver(news, point)
		})
		this.#wake()
		if (last.seq < head.head_seq || head.summary === null || !isFinished(head.summary.status)) return
		for (const classes of this.#classes.values()) classes.release(point, ({ reader }) => reader.request.follow === 'until_done')
	}

	#begin(point: LivePoint): LivePoint {
		this.#point = point
		this.#watch = this.#source.watch(() => this.#ring())
		// What was appended before the watch and after the reader has read.
		this.#ring()
		return point
	}

	#classesOf({ reader: { filter }, outlet: { wire } }: Member): WireClasses {
		const key = `${wire.key}\n${filter?.key ?? ''}`
		const classes = this.#classes.get(key) ?? new WireClasses(wire, filter)
		this.#classes.set(key, classes)
		return classes
	}

	/** All that is rung for in one turn of the event loop, or until the loop has rested, is one read. */
	#ring(): void {
		if (this.#isDue) return
		this.#isDue = true
		const rest = this.#rest.left
		if (rest === 0) setImmediate(() => void this.#tick())
		else this.#source.schedule(() => void this.#tick(), rest)
	}

	async #tick(): Promise<void> {
		this.#isDue = false
		const before = this.#point
		if (before === null) return
		try {
			const page = await this.#source.read(parsePosition(before.place.cursor) ?? 'start', PAGE)
			if (page.verdict.reset !== null && before === this.#point) this.#releaseAll(before)
			this.heed(page)
			if (page.events.length === PAGE) this.#ring()
		} catch {
			// Each reader meets the failure in a read of its own and is told.
			if (this.#point !== null) this.#releaseAll(this.#point)
		}
	}

	/** Something has happened that each reader has to be told by itself. */
	#releaseAll(point: LivePoint): void {
		for (const classes of this.#classes.values()) classes.release(point, () => true)
		this.#wake()
		this.#stopWhenEmpty()
	}

	#wake(): void {
		const woken = [...this.#apart]
		this.#apart.clear()
		for (const member of woken) member.readOn()
	}

	#stopWhenEmpty(): void {
		for (const [key, { size }] of this.#classes) if (size === 0) this.#classes.delete(key)
		if (this.#classes.size + this.#apart.size > 0) return
		this.#watch?.[Symbol.dispose]()
		this.#watch = null
		this.#point = null
	}
}
