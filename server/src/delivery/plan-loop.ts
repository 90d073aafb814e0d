import { isFinished, parsePosition } from '@planstream/shared'
import { POSITION_INTERVAL_MS, positionAfter } from '../hub/reader.js'
import type { EventLog, Page, PlanKey } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'
import { BroadcastGroups, type HeadPosition, type Member } from './group.js'

/** A shorter write is not worth a timer, which counts in whole milliseconds. */
const SHORT_MS = 0.5
/** The longest delay of a write, however many readers there are. */
const MAX_DELAY_MS = 25

/**
 * Delays the next write by as long as the last one took (25 ms at most), so that publishers get half of the thread and bursts share one
 * write per reader. A write of less than 0.5 ms causes no delay.
 */
export class WriteCoalescer {
	readonly #clock: () => number
	#until = 0

	/** @param clock - monotonic milliseconds */
	constructor(clock: () => number) {
		this.#clock = clock
	}

	/** Milliseconds until the next write may start; 0 when it may start at once. */
	get delayMs(): number {
		return Math.max(0, this.#until - this.#clock())
	}

	/** Runs a write to all readers and measures it. */
	run(write: () => void): void {
		const begin = this.#clock()
		write()
		const end = this.#clock()
		const took = end - begin
		this.#until = took < SHORT_MS ? 0 : end + Math.min(took, MAX_DELAY_MS)
	}
}

const PAGE = 256

/** The part of the log that streams need. */
export type FanoutLog = Pick<EventLog, 'read' | 'watch'>

/** Resources that the loops of all plans share. */
export interface PlanLoopSource {
	readonly log: FanoutLog
	readonly schedule: Schedule
	/** Monotonic milliseconds. */
	readonly clock: () => number
}

/**
 * The single loop behind all readers at the head of a plan. Events appended in one turn of the event loop, or during a write delay, are
 * read once, encoded once per group and written once per reader. A reader that is behind reads individually, and joins when it catches up.
 */
export class PlanLoop {
	readonly #plan: PlanKey
	readonly #source: PlanLoopSource
	readonly #groups = new Map<string, BroadcastGroups>()
	/** Readers that resume individually as soon as there is more. */
	readonly #individual = new Set<Member>()
	/** null while no reader waits at the head. */
	#head: HeadPosition | null = null
	#watch: Disposable | null = null
	/** Sends the positions of readers whose newest events were filtered out. */
	#positionTimer: Disposable | null = null
	#isDue = false
	readonly #coalescer: WriteCoalescer

	constructor(plan: PlanKey, source: PlanLoopSource) {
		this.#plan = plan
		this.#source = source
		this.#coalescer = new WriteCoalescer(source.clock)
	}

	/** Number of readers at the head. */
	get waiting(): number {
		return [...this.#groups.values()].reduce((sum, { size }) => sum + size, this.#individual.size)
	}

	/** The cursor from which readers at the head resume. */
	get cursor(): string {
		return this.#head?.position.cursor ?? ''
	}

	/**
	 * Adds a reader that has read to the head.
	 *
	 * @returns false when the loop is ahead of the reader, which then has to read on
	 */
	join(member: Member): boolean {
		const { position, epoch, headSeq } = member.reader
		if (position === null) return false
		const head = this.#head ?? this.#begin({ position, epoch, headSeq })
		if (head.epoch !== epoch || head.position.seq > position.seq) return false
		if (member.isPaced || head.position.seq < position.seq) {
			this.#individual.add(member)
			this.#schedule()
		} else this.#findGroups(member).add(member, this.#source.clock())
		if (member.reader.isFiltered) this.#tellPositions()
		return true
	}

	/** Removes a reader and moves it to where the loop is. */
	leave(member: Member): void {
		this.#individual.delete(member)
		if (this.#head !== null) member.group?.leave(member, this.#head)
		this.#stopWhenEmpty()
	}

	/** Delivers a page that any reader of the plan has read, so that the loop is never behind a reader that wants to join. */
	advance(page: Page): void {
		const head = this.#head
		if (head === null) return
		if (page.verdict.epoch !== head.epoch) this.#releaseAll(head)
		else this.#deliver(head, page)
		this.#stopWhenEmpty()
	}

	#deliver({ position: { seq }, epoch }: HeadPosition, { from_seq, events, head }: Page): void {
		const added = from_seq > seq + 1 ? [] : events.slice(seq + 1 - from_seq)
		const last = added.at(-1)
		if (last === undefined || head === null) return
		const reached = { position: positionAfter(last), epoch, headSeq: head.head_seq }
		this.#head = reached
		this.#coalescer.run(() => {
			for (const groups of this.#groups.values()) groups.deliver(added, reached)
		})
		this.#tellPositions()
		this.#resumeIndividual()
		if (last.seq < head.head_seq || head.summary === null || !isFinished(head.summary.status)) return
		for (const groups of this.#groups.values()) groups.release(reached, ({ reader }) => reader.request.follow === 'until_done')
	}

	/** Tells readers where they are when a filter hides the newest events, so that they do not resume before these. */
	#tellPositions(): void {
		const head = this.#head
		if (head === null) return
		const now = this.#source.clock()
		const waits = [...this.#groups.values()].flatMap((groups) => groups.sendPositions(head, now) ?? [])
		if ([...this.#individual].some(({ reader }) => reader.isFiltered)) waits.push(POSITION_INTERVAL_MS)
		if (waits.length === 0 || this.#positionTimer !== null) return
		this.#positionTimer = this.#source.schedule(
			() => {
				this.#positionTimer = null
				this.#resumeIndividual(({ reader }) => reader.isFiltered)
				this.#tellPositions()
			},
			Math.ceil(Math.min(...waits)),
		)
	}

	#begin(head: HeadPosition): HeadPosition {
		this.#head = head
		this.#watch = this.#source.log.watch(this.#plan, () => this.#schedule())
		// Picks up events appended between the reader's last read and the watch.
		this.#schedule()
		return head
	}

	#findGroups({ reader: { filter }, target: { encoding } }: Member): BroadcastGroups {
		const key = `${encoding.key}\n${filter?.key ?? ''}`
		const groups = this.#groups.get(key) ?? new BroadcastGroups(encoding, filter)
		this.#groups.set(key, groups)
		return groups
	}

	/** Schedules one read for all signals of this turn of the event loop, or of the write delay. */
	#schedule(): void {
		if (this.#isDue) return
		this.#isDue = true
		const { delayMs } = this.#coalescer
		if (delayMs === 0) setImmediate(() => void this.#tick())
		else this.#source.schedule(() => void this.#tick(), delayMs)
	}

	async #tick(): Promise<void> {
		this.#isDue = false
		const before = this.#head
		if (before === null) return
		try {
			const page = await this.#source.log.read(this.#plan, parsePosition(before.position.cursor) ?? 'start', PAGE)
			if (page.verdict.reset !== null && before === this.#head) this.#releaseAll(before)
			this.advance(page)
			if (isBehind(page)) this.#schedule()
		} catch {
			// Each reader meets the failure in its own read and reports it to its client.
			if (this.#head !== null) this.#releaseAll(this.#head)
		}
	}

	/** Lets every reader resume individually, after a change that each has to handle itself. */
	#releaseAll(head: HeadPosition): void {
		for (const groups of this.#groups.values()) groups.release(head, () => true)
		this.#resumeIndividual()
		this.#stopWhenEmpty()
	}

	#resumeIndividual(isChosen: (member: Member) => boolean = () => true): void {
		const woken = [...this.#individual].filter(isChosen)
		for (const member of woken) this.#individual.delete(member)
		for (const member of woken) member.resume()
	}

	#stopWhenEmpty(): void {
		for (const [key, { size }] of this.#groups) if (size === 0) this.#groups.delete(key)
		if (this.#groups.size + this.#individual.size > 0) return
		this.#watch?.[Symbol.dispose]()
		this.#watch = null
		this.#positionTimer?.[Symbol.dispose]()
		this.#positionTimer = null
		this.#head = null
	}
}

/** Whether the log has more than a page, which ends after a number of events or of bytes. */
function isBehind({ head, events }: Page): boolean {
	const last = events.at(-1)
	return last !== undefined && head !== null && last.seq < head.head_seq
}
