import { isFinished, type Position, parsePosition } from '@planstream/shared'
import { positionAfter } from '../hub/reader.js'
import type { Page } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'
import { BroadcastGroups } from './group.js'
import type { HeadPosition, Member } from './target.js'

/** A round that took less is not worth a timer, which counts in milliseconds. */
const SHORT_MS = 0.5
/** However many readers there are, nobody waits longer for the next round to begin. */
const MAX_DELAY_MS = 25

/**
 * Has a loop rest after each round for as long as the round took, up to a limit. So the loop leaves half of its thread to those who publish,
 * unless its rounds are longer than a rest may be, and what they publish meanwhile is one round: the more readers, the more events share the
 * price of a write. After a short round there is no rest.
 */
export class WriteCoalescer {
	readonly #clock: () => number
	#until = 0

	/** @param clock - in milliseconds, never set back */
	constructor(clock: () => number) {
		this.#clock = clock
	}

	/** Milliseconds until the next round may begin; 0: at once. */
	get delayMs(): number {
		return Math.max(0, this.#until - this.#clock())
	}

	/** Does what makes up a round. */
	run(round: () => void): void {
		const begin = this.#clock()
		round()
		const end = this.#clock()
		const took = end - begin
		this.#until = took < SHORT_MS ? 0 : end + Math.min(took, MAX_DELAY_MS)
	}
}

const PAGE = 256

/** What the loop reads, and what it waits by. */
export interface PlanLoopSource {
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
export class PlanLoop {
	readonly #source: PlanLoopSource
	readonly #groups = new Map<string, BroadcastGroups>()
	/** Readers that read by themselves as soon as there is more. */
	readonly #individual = new Set<Member>()
	/** null while nobody waits at the head. */
	#head: HeadPosition | null = null
	#watch: Disposable | null = null
	#isDue = false
	readonly #coalescer: WriteCoalescer

	constructor(source: PlanLoopSource) {
		this.#source = source
		this.#coalescer = new WriteCoalescer(source.clock)
	}

	/** How many readers wait at the head. */
	get waiting(): number {
		return [...this.#groups.values()].reduce((sum, { size }) => sum + size, this.#individual.size)
	}

	/** Where those resume who wait at the head. */
	get cursor(): string {
		return this.#head?.position.cursor ?? ''
	}

	/**
	 * Takes in a reader that has read to the head.
	 *
	 * @returns false when the loop is further than the reader, which then has to read on
	 */
	join(member: Member): boolean {
		const { position: place, epoch, headSeq } = member.reader
		if (place === null) return false
		const point = this.#head ?? this.#begin({ position: place, epoch, headSeq })
		if (point.epoch !== epoch || point.position.seq > place.seq) return false
		if (member.isPaced || point.position.seq < place.seq) {
			this.#individual.add(member)
			this.#schedule()
		} else this.#groupsFor(member).add(member)
		return true
	}

	/** Lets a reader go, which then is where the loop is. */
	leave(member: Member): void {
		this.#individual.delete(member)
		if (this.#head !== null) member.group?.leave(member, this.#head)
		this.#stopWhenEmpty()
	}

	/** Goes on with what anybody has read of the plan, so that the loop is not behind a reader that wants to join. */
	advance(page: Page): void {
		const point = this.#head
		if (point === null) return
		if (page.verdict.epoch !== point.epoch) this.#releaseAll(point)
		else this.#deliver(point, page)
		this.#stopWhenEmpty()
	}

	#deliver({ position: { seq }, epoch }: HeadPosition, { from_seq, events, head }: Page): void {
		const news = from_seq > seq + 1 ? [] : events.slice(seq + 1 - from_seq)
		const last = news.at(-1)
		if (last === undefined || head === null) return
		const point = { position: positionAfter(last), epoch, headSeq: head.head_seq }
		this.#head = point
		this.#coalescer.run(() => {
			for (const classes of this.#groups.values()) classes.deliver(news, point)
		})
		this.#resumeIndividual()
		if (last.seq < head.head_seq || head.summary === null || !isFinished(head.summary.status)) return
		for (const classes of this.#groups.values()) classes.release(point, ({ reader }) => reader.request.follow === 'until_done')
	}

	#begin(point: HeadPosition): HeadPosition {
		this.#head = point
		this.#watch = this.#source.watch(() => this.#schedule())
		// What was appended before the watch and after the reader has read.
		this.#schedule()
		return point
	}

	#groupsFor({ reader: { filter }, outlet: { wire } }: Member): BroadcastGroups {
		const key = `${wire.key}\n${filter?.key ?? ''}`
		const classes = this.#groups.get(key) ?? new BroadcastGroups(wire, filter)
		this.#groups.set(key, classes)
		return classes
	}

	/** All that is rung for in one turn of the event loop, or until the loop has rested, is one read. */
	#schedule(): void {
		if (this.#isDue) return
		this.#isDue = true
		const rest = this.#coalescer.delayMs
		if (rest === 0) setImmediate(() => void this.#tick())
		else this.#source.schedule(() => void this.#tick(), rest)
	}

	async #tick(): Promise<void> {
		this.#isDue = false
		const before = this.#head
		if (before === null) return
		try {
			const page = await this.#source.read(parsePosition(before.position.cursor) ?? 'start', PAGE)
			if (page.verdict.reset !== null && before === this.#head) this.#releaseAll(before)
			this.advance(page)
			if (page.events.length === PAGE) this.#schedule()
		} catch {
			// Each reader meets the failure in a read of its own and is told.
			if (this.#head !== null) this.#releaseAll(this.#head)
		}
	}

	/** Something has happened that each reader has to be told by itself. */
	#releaseAll(point: HeadPosition): void {
		for (const classes of this.#groups.values()) classes.release(point, () => true)
		this.#resumeIndividual()
		this.#stopWhenEmpty()
	}

	#resumeIndividual(): void {
		const woken = [...this.#individual]
		this.#individual.clear()
		for (const member of woken) member.resume()
	}

	#stopWhenEmpty(): void {
		for (const [key, { size }] of this.#groups) if (size === 0) this.#groups.delete(key)
		if (this.#groups.size + this.#individual.size > 0) return
		this.#watch?.[Symbol.dispose]()
		this.#watch = null
		this.#head = null
	}
}
