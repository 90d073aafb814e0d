import { type EventFilter, type PlanReader, POSITION_INTERVAL_MS, positionAfter, type ReaderPosition } from '../hub/reader.js'
import type { StreamItem } from '../hub/stream.js'
import type { StoredEvent } from '../log/event-log.js'
import type { ByteSink, CompressionState, Encoder, Encoding, StreamTarget } from './target.js'

/** Items are joined up to this size: many small ones cost one write, and a large one is written alone. */
const JOINED_BYTES = 16 * 1024

/** Items as the bytes of one write. */
export interface Chunk {
	readonly bytes: Buffer
	/** Number of events among the items. */
	readonly events: number
	/** Position after the last event; null without one. */
	readonly position: ReaderPosition | null
}

/**
 * Takes the next items that fit into one write.
 *
 * @param most - maximum number of events
 * @returns null at the end of the items
 */
export function takeChunk(items: Iterator<StreamItem>, { encode }: Encoder, most = Number.POSITIVE_INFINITY): Chunk | null {
	const parts: Buffer[] = []
	let size = 0
	let events = 0
	let position: ReaderPosition | null = null
	while (size < JOINED_BYTES && events < most) {
		const { done, value: item } = items.next()
		if (done === true) break
		const part = encode(item)
		parts.push(part)
		size += part.length
		if (item.kind !== 'event') continue
		events++
		position = positionAfter(item.stored)
	}
	const [first] = parts
	if (first === undefined) return null
	return { bytes: parts.length === 1 ? first : Buffer.concat(parts, size), events, position }
}

function splitIntoChunks(items: Iterable<StreamItem>, encoder: Encoder): readonly Chunk[] {
	const rest = items[Symbol.iterator]()
	const chunks: Chunk[] = []
	for (let chunk = takeChunk(rest, encoder); chunk !== null; chunk = takeChunk(rest, encoder)) chunks.push(chunk)
	return chunks
}

/** Position of a plan's loop in the log. */
export interface HeadPosition {
	readonly position: ReaderPosition
	/** null while the plan has no log. */
	readonly epoch: string | null
	readonly headSeq: number
}

/** A reader as the loop of its plan sees it. */
export interface Member {
	readonly reader: PlanReader
	readonly target: StreamTarget
	/** Whether it has a rate limit, and therefore always reads individually. */
	readonly isPaced: boolean
	/** The group whose bytes it receives; null while it reads individually. */
	group: BroadcastGroup | null
	/** Events it has received; in a group, less the number that the group had sent before it joined. */
	sent: number
	/** Reads individually from the reader's position, after the group was left. */
	resume(): void
	/** Resumes like {@link Member.resume} because the connection has no room for more. */
	onBackpressure(): void
}

/** Stands in for an encoding whose bytes never depend on those before. */
const NO_CONTEXT = { isNew: () => true, isFull: () => true } as const

/**
 * Readers at the head of a plan that receive identical bytes. Unless a filter hides events, their position is that of the loop. This is
 * the hot path: with 1,000 readers, memory access per reader costs more than the work, so `deliver` touches only the sink of each.
 */
export class BroadcastGroup {
	readonly #context: CompressionState
	readonly #filter: EventFilter | null
	readonly #sinks = new Map<Member, ByteSink>()
	#events = 0
	/** Whether the newest events were filtered out and no `position` frame has told all members. */
	#isFiltered = false
	#lastFrameAt: number

	/** @param now - monotonic milliseconds */
	constructor(encoding: Encoding, filter: EventFilter | null, now: number) {
		this.#lastFrameAt = now
		this.#context = encoding.context?.() ?? { ...NO_CONTEXT, encode: encoding.encode }
		this.#filter = filter
	}

	/** Events sent to the group since it was made. */
	get events(): number {
		return this.#events
	}

	get size(): number {
		return this.#sinks.size
	}

	/** Whether a newcomer can decode what comes next. */
	get isOpen(): boolean {
		return this.#context.isNew()
	}

	/** Whether the next bytes are the same in every full group. */
	get isFull(): boolean {
		return this.#context.isFull()
	}

	add(member: Member): void {
		this.#sinks.set(member, member.target.sink)
		member.sent -= this.#events
		member.group = this
		this.#isFiltered ||= member.reader.isFiltered
	}

	/** Removes a member and moves its reader to where the loop is. */
	leave(member: Member, { position, headSeq }: HeadPosition, isFiltered?: boolean): void {
		member.sent += this.#events
		this.#sinks.delete(member)
		member.group = null
		member.reader.moveTo(position, headSeq, isFiltered)
	}

	/** Moves all members into another full group. */
	mergeInto(other: BroadcastGroup, head: HeadPosition): void {
		for (const member of this.#sinks.keys()) {
			this.leave(member, head)
			other.add(member)
		}
	}

	/** Sends what the loop has read. A member without room for more leaves the group and reads on from the log. */
	deliver(events: readonly StoredEvent[], head: HeadPosition): void {
		const shown = this.#filter === null ? events : events.filter(this.#filter.shows)
		const isFiltered = shown.at(-1) !== events.at(-1)
		const items = shown.map((stored): StreamItem => ({ kind: 'event', stored }))
		const chunks = splitIntoChunks(items, this.#context)
		for (const [index, { bytes, events, position }] of chunks.entries()) {
			const isLast = index === chunks.length - 1
			const reached: HeadPosition = isLast || position === null ? head : { ...head, position }
			this.#send(bytes, events, reached, isFiltered)
		}
		if (this.#filter === null) return
		this.#isFiltered = isFiltered
		this.#moveReaders(head, isFiltered)
	}

	/**
	 * Sends a `position` frame for newest events that were filtered out, once a second has passed since the last one. All members get
	 * the same bytes, because what an encoder makes later may refer to them.
	 *
	 * @param now - monotonic milliseconds
	 * @returns milliseconds until a frame is due; null for none
	 */
	sendPosition(head: HeadPosition, now: number): number | null {
		const [member] = this.#sinks.keys()
		if (!this.#isFiltered || member === undefined || head.position.seq !== head.headSeq) return null
		const wait = this.#lastFrameAt + POSITION_INTERVAL_MS - now
		if (wait > 0) return wait
		this.#isFiltered = false
		this.#lastFrameAt = now
		const { plan_id } = member.reader.plan
		const frame = { frame: 'position', plan_id, cursor: head.position.cursor } as const
		this.#moveReaders(head, false)
		this.#send(this.#context.encode({ kind: 'frame', frame }), 0, head, false)
		return null
	}

	/** Lets every chosen member resume individually from where the loop is. */
	release(head: HeadPosition, isChosen: (member: Member) => boolean): void {
		for (const member of this.#sinks.keys()) {
			if (!isChosen(member)) continue
			this.leave(member, head)
			member.resume()
		}
	}

	/** @param reached - position of a reader that has these bytes */
	#send(bytes: Buffer, events: number, reached: HeadPosition, isFiltered: boolean): void {
		this.#events += events
		for (const [member, sink] of this.#sinks) {
			if (sink.write(bytes)) continue
			this.leave(member, reached, isFiltered)
			member.onBackpressure()
		}
	}

	#moveReaders({ position, headSeq }: HeadPosition, isFiltered: boolean): void {
		for (const { reader } of this.#sinks.keys()) reader.moveTo(position, headSeq, isFiltered)
	}
}

/**
 * Readers at the head of a plan that share a filter and an encoding. When bytes refer to earlier ones, a newcomer cannot decode what the
 * others receive, so readers that joined after the same event form a group of their own until the difference no longer matters.
 */
export class BroadcastGroups {
	readonly #encoding: Encoding
	readonly #filter: EventFilter | null
	/** The oldest first. */
	#groups: readonly BroadcastGroup[] = []

	constructor(encoding: Encoding, filter: EventFilter | null) {
		this.#encoding = encoding
		this.#filter = filter
	}

	get size(): number {
		return this.#groups.reduce((sum, { size }) => sum + size, 0)
	}

	/** @param now - monotonic milliseconds */
	add(member: Member, now: number): void {
		const newest = this.#groups.at(-1)
		if (newest?.isOpen === true) newest.add(member)
		else {
			const opened = new BroadcastGroup(this.#encoding, this.#filter, now)
			this.#groups = [...this.#groups, opened]
			opened.add(member)
		}
	}

	deliver(events: readonly StoredEvent[], head: HeadPosition): void {
		for (const group of this.#groups) group.deliver(events, head)
		if (this.#groups.length > 1) this.#mergeFull(head)
	}

	/** Sends the `position` frames that are due. @returns milliseconds until the next one; null for none */
	sendPositions(head: HeadPosition, now: number): number | null {
		const waits = this.#groups.flatMap((group) => group.sendPosition(head, now) ?? [])
		return waits.length === 0 ? null : Math.min(...waits)
	}

	/** Lets every chosen member resume individually from where the loop is. */
	release(head: HeadPosition, isChosen: (member: Member) => boolean): void {
		for (const group of this.#groups) group.release(head, isChosen)
	}

	/** Merges the groups that have seen enough to receive the same bytes from here on. */
	#mergeFull(head: HeadPosition): void {
		const [oldest, ...younger] = this.#groups.filter(({ size }) => size > 0)
		if (oldest === undefined) return
		for (const group of younger) if (group.isFull) group.mergeInto(oldest, head)
		this.#groups = [oldest, ...younger.filter(({ size }) => size > 0)]
	}
}
