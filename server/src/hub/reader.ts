import {
	type EndFrame,
	type EndReason,
	type EventType,
	formatPosition,
	isFinished,
	type PlanState,
	type Position,
	parsePosition,
	type ReadyFrame,
} from '@planstream/shared'
import type { EventLog, Page, PlanKey, StoredEvent } from '../log/event-log.js'
import type { FoldCache } from './fold-cache.js'
import { type EndItem, eventOf, type StreamItem } from './stream.js'

/** Which of a plan's events a reader wants to see. */
export interface FilterRequest {
	readonly event_types?: ReadonlySet<EventType>
	readonly step_id?: string
}

export interface EventFilter {
	/** The same for filters that show the same. */
	readonly key: string
	readonly shows: (stored: StoredEvent) => boolean
}

/** @returns null for who wants to see everything */
function eventFilter({ event_types, step_id }: FilterRequest): EventFilter | null {
	if (event_types === undefined && step_id === undefined) return null
	return {
		key: JSON.stringify([event_types === undefined ? null : [...event_types].sort(), step_id ?? null]),
		shows: (stored) => {
			const event = eventOf(stored)
			return (event_types?.has(event.event_type) ?? true) && (step_id === undefined || event.step_id === step_id)
		},
	}
}

const PAGE = 256
const POSITION_INTERVAL_MS = 1000

/** What a reader of a plan asks for. */
export interface ReadOptions extends FilterRequest {
	readonly after: Position
	/** Put the state into the first `ready`. */
	readonly snapshot: boolean
	readonly follow: 'until_done' | 'always'
	/** Events a second at most; what comes faster waits in the log. @defaultValue as they come */
	readonly max_events_per_s?: number
}

/** Behind which event somebody is. */
export interface ReaderPosition {
	readonly seq: number
	readonly cursor: string
}

/** What all readers share. */
export interface ReaderSource {
	readonly log: EventLog
	readonly states: FoldCache
	/** Milliseconds since 1970. */
	readonly clock: () => number
	/** A reader is done. */
	readonly leave: () => void
}

/**
 * One reader's way through a plan's log: where it is, and what it is told. It keeps no events and waits for nothing; replay, resume and
 * live are the same reads. Each change of the verdict on the position, the first included, is a `ready` frame; the way ends at the head
 * of a finished plan unless `follow` is `always`.
 */
export class PlanReader implements Disposable {
	readonly plan: PlanKey
	readonly request: ReadOptions
	readonly filter: EventFilter | null
	readonly #source: ReaderSource
	#news: ReadyFrame | null = null
	#place: ReaderPosition | null = null
	#epoch: string | null = null
	#headSeq = 0
	/** The newest events behind the position were not shown. */
	#hid = false
	#lastFrameAt = 0
	#atHead = false
	#lastWord: EndFrame | null = null
	#disposed = false

	constructor(source: ReaderSource, plan: PlanKey, request: ReadOptions) {
		this.#source = source
		this.plan = plan
		this.request = request
		this.filter = eventFilter(request)
	}

	/** null before the first page. */
	get position(): ReaderPosition | null {
		return this.#place
	}

	/** What the reader is to be told of its position; null once it was taken, and before the first page. */
	get pendingReady(): ReadyFrame | null {
		return this.#news
	}

	/** null while the plan has no log. */
	get epoch(): string | null {
		return this.#epoch
	}

	/** Where the log stood at the last look. */
	get headSeq(): number {
		return this.#headSeq
	}

	/** Whether all of the last page's items were taken and nothing is behind it. */
	get atHead(): boolean {
		return this.#atHead
	}

	/** The `end` after which nothing comes, once it was taken. */
	get endFrame(): EndFrame | null {
		return this.#lastWord
	}

	/** Where the reader resumes. */
	get cursor(): string {
		return this.#place?.cursor ?? formatPosition(this.request.after)
	}

	/** Reads on behind the position. */
	read(): Promise<Page> {
		const position = this.#place === null ? this.request.after : (parsePosition(this.#place.cursor) ?? { seq: 0 })
		return this.#source.log.read(this.plan, position, PAGE)
	}

	/** What a page tells: the position moves behind each item as it is taken, so that it may be left at any. */
	async items(page: Page): Promise<Iterable<StreamItem>> {
		const { head, verdict } = page
		this.#atHead = false
		this.#headSeq = head?.head_seq ?? 0
		if (head === null && this.#epoch !== null) return this.#last(this.end('deleted', false))
		const isNews = this.#place === null || verdict.reset !== null || verdict.epoch !== this.#epoch
		return this.#items(page, isNews ? await this.#ready(page) : null)
	}

	/** The last word on this way. */
	end(reason: EndReason, resume: boolean): EndItem {
		const { plan_id } = this.plan
		return {
			kind: 'frame',
			frame: { frame: 'end', plan_id, cursor: this.cursor, reason, final_seq: this.#headSeq, resume },
		}
	}

	/**
	 * Others have read on for this reader.
	 *
	 * @param hid - whether the newest events on the way were not shown. @defaultValue as it was
	 */
	moveTo(place: ReaderPosition, headSeq: number, hid = this.#hid): void {
		this.#place = place
		this.#headSeq = headSeq
		this.#hid = hid
	}

	/** Tells a reader at the head that its position moved although it was shown nothing, at most once a second. */
	movedByFilter(): StreamItem | null {
		if (!this.#hid || this.#source.clock() - this.#lastFrameAt < POSITION_INTERVAL_MS) return null
		this.#hid = false
		this.#lastFrameAt = this.#source.clock()
		return { kind: 'frame', frame: { frame: 'position', plan_id: this.plan.plan_id, cursor: this.cursor } }
	}

	[Symbol.dispose](): void {
		if (!this.#disposed) this.#source.leave()
		this.#disposed = true
	}

	*#items(page: Page, ready: StreamItem | null): Generator<StreamItem, void, void> {
		this.#news = null
		if (ready !== null) yield ready
		for (const stored of page.events) {
			this.#place = positionAfter(stored)
			this.#hid = this.filter?.shows(stored) === false
			if (!this.#hid) yield { kind: 'event', stored }
		}
		this.#atHead = page.head === null || page.from_seq + page.events.length > page.head.head_seq
		if (!this.#atHead) return
		const status = page.head?.summary?.status
		if (this.request.follow === 'until_done' && status !== undefined && isFinished(status)) {
			yield* this.#last(this.end(status, false))
			return
		}
		const moved = this.movedByFilter()
		if (moved !== null) yield moved
	}

	*#last(end: EndItem): Generator<StreamItem, void, void> {
		this.#lastWord = end.frame
		yield end
	}

	async #ready(page: Page): Promise<StreamItem> {
		const { head, verdict, from_seq, from_cursor } = page
		const snapshot = this.#place === null && this.request.snapshot
		const cursor = formatPosition(from_cursor ?? { seq: 0 })
		const state = await this.#stateFor(page, snapshot || verdict.reset !== null)
		this.#epoch = verdict.epoch
		this.#place = { seq: from_cursor?.seq ?? 0, cursor }
		this.#lastFrameAt = this.#source.clock()
		this.#news = {
			frame: 'ready',
			plan_id: this.plan.plan_id,
			cursor,
			epoch: verdict.epoch,
			head_seq: head?.head_seq ?? 0,
			oldest_seq: head?.oldest_seq ?? 1,
			from_seq,
			recovered: verdict.reset === null,
			reset: verdict.reset === null ? null : { reason: verdict.reset },
			state,
			plan_status: head?.summary?.status ?? 'unknown',
			owner: head?.summary?.owner ?? null,
		}
		return { kind: 'frame', frame: this.#news }
	}

	#stateFor(page: Page, wanted: boolean): Promise<PlanState | null> {
		if (!wanted || page.head === null) return Promise.resolve(null)
		return this.#source.states.at(this.plan, page.from_seq - 1)
	}
}

/** The place behind an event, without the event. */
export function positionAfter({ seq, cursor }: StoredEvent): ReaderPosition {
	return { seq, cursor }
}
