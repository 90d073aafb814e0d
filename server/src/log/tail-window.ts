import { EMPTY_FINGERPRINT, type FullCursor, isFullCursor, type PlanSummary, type Position } from '@planstream/shared'
import type { Appended, Head, Page, StoredEvent } from './event-log.js'

/** Limits on the window of one plan. */
export interface WindowLimits {
	readonly planEvents: number
	/** Bytes of events. */
	readonly planBytes: number
}

/** Bytes of a window besides its events and the texts of its summary. */
const WINDOW_BYTES = 1024
/** Bytes of an event besides its text: its cursor and the objects that hold both. */
const EVENT_BYTES = 256

/**
 * The cached part of one plan: its head and the newest events up to it, without a gap.
 *
 * The log is append-only, so the window may drop everything at any time, but it must never hold anything that the log has
 * replaced. It drops everything when an update does not continue what it holds.
 */
export class TailWindow {
	/** Pending calls to the store; a pinned window is not evicted. */
	pins = 0
	readonly #limits: WindowLimits
	/** Raised by {@link TailWindow.forget}: a reply to an earlier request may be out of date. */
	#version = 0
	#head: Head | null = null
	#events: StoredEvent[] = []
	/** The fingerprint before the oldest event held; null when it is not known. */
	#before: string | null = null
	#bytes = 0
	#summaryBytes = 0

	constructor(limits: WindowLimits) {
		this.#limits = limits
	}

	get head(): Head | null {
		return this.#head
	}

	get version(): number {
		return this.#version
	}

	get size(): number {
		return this.#events.length
	}

	/** Bytes of the window. */
	get bytes(): number {
		return WINDOW_BYTES + this.#summaryBytes + this.#bytes
	}

	/** Returns the page after a position, or null when only the store can answer: for older events and for every reset. */
	readPage(after: Position, limit: number): Page | null {
		const head = this.#head
		if (!head) return null
		const seq = after === 'now' ? head.head_seq : after === 'start' ? 0 : after.seq
		const fingerprint = this.#fingerprintAt(seq)
		if (fingerprint === null) return null
		const from_cursor: FullCursor = { epoch: head.epoch, seq, fingerprint }
		if (typeof after === 'object' && isFullCursor(after) && (after.epoch !== head.epoch || after.fingerprint !== fingerprint))
			return null
		const start = seq + 1 - this.#firstSeq(head)
		const events = this.#events.slice(start, start + limit)
		return { verdict: { reset: null, epoch: head.epoch }, head, from_seq: seq + 1, from_cursor, base: null, events }
	}

	/** Adds the events of a durable append; `version` is the window's version when the append was sent. */
	extend({ head, events }: Appended, version: number): void {
		const first = events[0]
		if (!first) return
		if (!this.#head) {
			if (version === this.#version) this.#adopt(head, events, first.seq === 1 ? EMPTY_FINGERPRINT : null)
		} else if (this.#head.epoch !== head.epoch || first.seq > this.#head.head_seq + 1) {
			this.forget()
		} else if (first.seq === this.#head.head_seq + 1) {
			this.#setHead(head)
			for (const event of events) this.#events.push(event)
			this.#bytes += measureEvents(events)
			this.#shrink(head)
		}
	}

	/** Adds the events of a read; `version` is the window's version when the read was sent. */
	fill({ head, events, from_cursor }: Pick<Page, 'head' | 'events' | 'from_cursor'>, version: number): void {
		if (!head || version !== this.#version) return
		if (!this.#head) this.#adopt(head, [], head.fingerprint)
		const first = this.#firstSeq(head)
		const last = events.at(-1)
		if (!from_cursor || !last || this.#head?.epoch !== head.epoch || last.seq < first - 1) return
		const older = events.filter(({ seq }) => seq < first)
		if (older.length === 0 || this.#events.length >= this.#limits.planEvents) return
		this.#before = from_cursor.fingerprint
		this.#events = [...older, ...this.#events]
		this.#bytes += measureEvents(older)
		this.#shrink(this.#head)
	}

	/** Drops the events and keeps the head. */
	empty(): void {
		this.#events = []
		this.#before = this.#head?.fingerprint ?? null
		this.#bytes = 0
	}

	/** Drops everything after a change that the window cannot follow. */
	forget(): void {
		this.#version += 1
		this.#setHead(null)
		this.empty()
	}

	#adopt(head: Head, events: readonly StoredEvent[], before: string | null): void {
		this.#setHead(head)
		this.#events = [...events]
		this.#before = before
		this.#bytes = measureEvents(events)
		this.#shrink(head)
	}

	/** Drops trimmed events and, beyond the limits, the oldest eighth at once, so that most appends drop none. */
	#shrink(head: Head): void {
		const { planEvents, planBytes } = this.#limits
		const size = this.#events.length
		const trimmed = head.oldest_seq - this.#firstSeq(head)
		const full = size > planEvents || this.#bytes > planBytes
		if (trimmed <= 0 && !full) return
		const room = full ? 7 / 8 : 1
		let dropped = 0
		let bytes = this.#bytes
		// The newest event stays if it fits on its own.
		const isOver = (left: number): boolean => left > planEvents * room || bytes > planBytes * (left === 1 ? 1 : room)
		while (dropped < size && (dropped < trimmed || isOver(size - dropped))) {
			const event = this.#events[dropped]
			if (event !== undefined) bytes -= measureEvent(event)
			dropped += 1
		}
		const last = this.#events[dropped - 1]
		if (last) this.#before = getFingerprint(last)
		this.#events.splice(0, dropped)
		this.#bytes = bytes
	}

	#setHead(head: Head | null): void {
		if (head?.summary !== this.#head?.summary) this.#summaryBytes = measureSummary(head?.summary ?? null)
		this.#head = head
	}

	#firstSeq(head: Head): number {
		return (this.#head ?? head).head_seq + 1 - this.#events.length
	}

	#fingerprintAt(seq: number): string | null {
		const head = this.#head
		if (!head) return null
		const index = seq - this.#firstSeq(head)
		if (index === -1) return this.#before
		const event = this.#events[index]
		return event ? getFingerprint(event) : null
	}
}

function getFingerprint({ cursor }: StoredEvent): string {
	return cursor.slice(-16)
}

function measureEvents(events: readonly StoredEvent[]): number {
	return events.reduce((sum, event) => sum + measureEvent(event), 0)
}

function measureEvent({ text }: StoredEvent): number {
	return EVENT_BYTES + Buffer.byteLength(text)
}

function measureSummary(summary: PlanSummary | null): number {
	if (summary === null) return 0
	const labels = Object.entries(summary.labels).flat()
	return [summary.query, ...labels].reduce((sum, text) => sum + Buffer.byteLength(text), 0)
}
