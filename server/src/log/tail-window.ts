import { EMPTY_FINGERPRINT, type FullCursor, isFullCursor, type Position } from '@planstream/shared'
import type { Appended, Head, Page, StoredEvent } from './event-log.js'

/** How much of one plan is kept. */
export interface WindowLimits {
	readonly planEvents: number
	/** Characters of event text. */
	readonly planCharacters: number
}

/** What a window costs beside its events: head, summary and the objects that hold them. */
const WINDOW_COST = 1024

/**
 * What the tail knows of one plan: the head, and the newest events without a gap up to it.
 *
 * It is a cache of an append-only log, so it may forget everything at any time; it must never know something that the log has left behind.
 * Whatever does not fit onto what it knows makes it forget.
 */
export class TailWindow {
	/** Calls to the store under way; a window with any is not evicted. */
	pins = 0
	readonly #limits: WindowLimits
	/** Raised by {@link TailWindow.forget}: what was asked of the store before that may be out of date. */
	#version = 0
	#head: Head | null = null
	#events: StoredEvent[] = []
	/** The fingerprint before the oldest event held; null when it is not known. */
	#before: string | null = null
	#characters = 0

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

	/** Characters this window takes up. */
	get cost(): number {
		return WINDOW_COST + this.#characters
	}

	/** The page behind a position, or null when the store must be asked: for what is older, and for every reset. */
	page(after: Position, limit: number): Page | null {
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

	/** Takes in what an append made durable; `version` is the window's when the append was sent. */
	extend({ head, events }: Appended, version: number): void {
		const first = events[0]
		if (!first) return
		if (!this.#head) {
			if (version === this.#version) this.#adopt(head, events, first.seq === 1 ? EMPTY_FINGERPRINT : null)
		} else if (this.#head.epoch !== head.epoch || first.seq > this.#head.head_seq + 1) {
			this.forget()
		} else if (first.seq === this.#head.head_seq + 1) {
			this.#head = head
			for (const event of events) this.#events.push(event)
			this.#characters += charactersOf(events)
			this.#shrink(head)
		}
	}

	/** Takes in what a read found; `version` is the window's when the read was sent. */
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
		this.#characters += charactersOf(older)
		this.#shrink(this.#head)
	}

	/** Drops the events and keeps the head. */
	empty(): void {
		this.#events = []
		this.#before = this.#head?.fingerprint ?? null
		this.#characters = 0
	}

	/** Drops everything: the log has changed in a way that the window cannot follow. */
	forget(): void {
		this.#version += 1
		this.#head = null
		this.empty()
	}

	#adopt(head: Head, events: readonly StoredEvent[], before: string | null): void {
		this.#head = head
		this.#events = [...events]
		this.#before = before
		this.#characters = charactersOf(events)
		this.#shrink(head)
	}

	/** Drops the oldest events: those that were trimmed, and those beyond the limits, an eighth at once so that most appends drop none. */
	#shrink(head: Head): void {
		const { planEvents, planCharacters } = this.#limits
		const size = this.#events.length
		const trimmed = head.oldest_seq - this.#firstSeq(head)
		const full = size > planEvents || this.#characters > planCharacters
		if (trimmed <= 0 && !full) return
		const room = full ? 7 / 8 : 1
		let dropped = 0
		let characters = this.#characters
		// The newest event stays whenever it fits at all.
		const isOver = (left: number): boolean => left > planEvents * room || characters > planCharacters * (left === 1 ? 1 : room)
		while (dropped < size && (dropped < trimmed || isOver(size - dropped))) {
			characters -= this.#events[dropped]?.text.length ?? 0
			dropped += 1
		}
		const last = this.#events[dropped - 1]
		if (last) this.#before = fingerprintOf(last)
		this.#events.splice(0, dropped)
		this.#characters = characters
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
		return event ? fingerprintOf(event) : null
	}
}

function fingerprintOf({ cursor }: StoredEvent): string {
	return cursor.slice(-16)
}

function charactersOf(events: readonly StoredEvent[]): number {
	return events.reduce((sum, { text }) => sum + text.length, 0)
}
