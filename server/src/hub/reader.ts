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
import { type EndItem, parseEvent, type StreamItem } from './stream.js'

/** Selects the events that a reader receives. */
export interface FilterRequest {
	readonly event_types?: ReadonlySet<EventType>
	readonly step_id?: string
}

export interface EventFilter {
	/** Equal for filters that show the same events. */
	readonly key: string
	readonly shows: (stored: StoredEvent) => boolean
}

/** @returns null when every event is shown */
function createFilter({ event_types, step_id }: FilterRequest): EventFilter | null {
	if (event_types === undefined && step_id === undefined) return null
	return {
		key: JSON.stringify([event_types === undefined ? null : [...event_types].sort(), step_id ?? null]),
		shows: (stored) => {
			const event = parseEvent(stored)
			return (event_types?.has(event.event_type) ?? true) && (step_id === undefined || event.step_id === step_id)
		},
	}
}

const PAGE = 256
/** Milliseconds between two `position` frames of a reader. */
export const POSITION_INTERVAL_MS = 1000

/** Options of a reader. */
export interface ReadOptions extends FilterRequest {
	readonly after: Position
	/** Whether the first `ready` frame carries the state. */
	readonly snapshot: boolean
	readonly follow: 'until_done' | 'always'
	/** Maximum events per second; the rest waits in the log. @defaultValue no limit */
	readonly max_events_per_s?: number
}

/** The last event that a reader has passed. */
export interface ReaderPosition {
	readonly seq: number
	readonly cursor: string
}

/** Waits until an answer with about so many bytes of a tenant may be made. */
export type Reserve = (tenant: string, bytes: number) => Promise<Disposable>

/** Resources that all readers share. */
export interface ReaderSource {
	readonly log: EventLog
	readonly states: FoldCache
	/** Unix time in milliseconds. */
	readonly clock: () => number
	/** Waits until a state may be sent. */
	readonly reserve: Reserve
	/** Called once by each reader when it is disposed. */
	readonly leave: () => void
}

/**
 * The position of one reader in a plan's log, and the items it receives. It stores no events and never waits; replay, resume and live are
 * the same reads. Every verdict on the position, the first included, becomes a `ready` frame. The items end at the head of a finished
 * plan, unless `follow` is `always`.
 */
export class PlanReader implements Disposable {
	readonly plan: PlanKey
	readonly request: ReadOptions
	readonly filter: EventFilter | null
	readonly #source: ReaderSource
	#pendingReady: ReadyFrame | null = null
	#position: ReaderPosition | null = null
	#epoch: string | null = null
	#headSeq = 0
	/** Whether the newest events up to the position were filtered out. */
	#isFiltered = false
	#lastFrameAt = 0
	#atHead = false
	#endFrame: EndFrame | null = null
	#disposed = false
	/** Room for the state in the next `ready` frame. */
	#room: Disposable | null = null
	/** Whether the pending `ready` frame has to get its state again. */
	#lostState = false

	constructor(source: ReaderSource, plan: PlanKey, request: ReadOptions) {
		this.#source = source
		this.plan = plan
		this.request = request
		this.filter = createFilter(request)
	}

	/** null before the first page. */
	get position(): ReaderPosition | null {
		return this.#position
	}

	/** The `ready` frame until its page is consumed or replaced; null before the first page. */
	get pendingReady(): ReadyFrame | null {
		return this.#pendingReady
	}

	/** null while the plan has no log. */
	get epoch(): string | null {
		return this.#epoch
	}

	/** Head of the log at the last read. */
	get headSeq(): number {
		return this.#headSeq
	}

	/** Whether all items of the last page were consumed and the log has no more. */
	get atHead(): boolean {
		return this.#atHead
	}

	/** Whether the newest events were filtered out and no `position` frame has told so. */
	get isFiltered(): boolean {
		return this.#isFiltered
	}

	/** The final `end` frame, once it was yielded. */
	get endFrame(): EndFrame | null {
		return this.#endFrame
	}

	/** The cursor from which the reader resumes. */
	get cursor(): string {
		return this.#position?.cursor ?? formatPosition(this.request.after)
	}

	/** Reads the page after the position. A page that comes with a state is read once there is room for the state. */
	async read(): Promise<Page> {
		const needsState = this.#lostState || (this.#position === null && this.request.snapshot)
		const page = needsState ? null : await this.#readUnlessReset()
		if (page !== null) return page
		const { state_bytes } = this.#source.states.estimate(this.plan)
		const room = await this.#source.reserve(this.plan.tenant, state_bytes)
		if (this.#disposed) room[Symbol.dispose]()
		else this.#room = room
		return this.#readPage()
	}

	#readPage(): Promise<Page> {
		const position = this.#position === null ? this.request.after : (parsePosition(this.#position.cursor) ?? { seq: 0 })
		return this.#source.log.read(this.plan, position, PAGE)
	}

	/** @returns null on a reset, so that nobody holds the page while it waits for room */
	async #readUnlessReset(): Promise<Page | null> {
		const page = await this.#readPage()
		return page.verdict.reset === null ? page : null
	}

	/** Turns a page into items. The position advances with each item, so iteration may stop at any of them. */
	async items(page: Page): Promise<Iterable<StreamItem>> {
		const { head, verdict } = page
		// Given back after this turn of the event loop, in which the state is written.
		using _room = this.#room
		this.#room = null
		this.#atHead = false
		this.#headSeq = head?.head_seq ?? 0
		if (head === null && this.#epoch !== null) return this.#finish(this.end('deleted', false))
		const needsReady = this.#position === null || verdict.reset !== null || verdict.epoch !== this.#epoch
		return this.#items(page, needsReady ? await this.#ready(page) : await this.#droppedReady())
	}

	/** Lets go of the state of a `ready` frame that was not consumed, so that a reader without room holds none. */
	dropState(): void {
		const frame = this.#pendingReady
		if (frame === null || frame.state === null) return
		this.#pendingReady = { ...frame, state: null }
		this.#lostState = true
	}

	/** Returns the `ready` frame of a page that was dropped before anything of it was consumed; its verdict is not given twice. */
	async #droppedReady(): Promise<StreamItem | null> {
		const frame = this.#pendingReady
		if (frame === null) return null
		if (this.#lostState) this.#pendingReady = { ...frame, state: await this.#readState(frame.from_seq) }
		this.#lostState = false
		return { kind: 'frame', frame: this.#pendingReady ?? frame }
	}

	/** Makes the final `end` frame. */
	end(reason: EndReason, resume: boolean): EndItem {
		const { plan_id } = this.plan
		return {
			kind: 'frame',
			frame: { frame: 'end', plan_id, cursor: this.cursor, reason, final_seq: this.#headSeq, resume },
		}
	}

	/**
	 * Moves the reader past events that were delivered to it from a shared read.
	 *
	 * @param isFiltered - whether the newest of them were filtered out. @defaultValue unchanged
	 */
	moveTo(position: ReaderPosition, headSeq: number, isFiltered = this.#isFiltered): void {
		this.#position = position
		this.#headSeq = headSeq
		this.#isFiltered = isFiltered
	}

	/** Makes a `position` frame for a reader at the head whose newest events were filtered out, at most once a second. */
	movedByFilter(): StreamItem | null {
		if (!this.#isFiltered || this.#source.clock() - this.#lastFrameAt < POSITION_INTERVAL_MS) return null
		this.#isFiltered = false
		this.#lastFrameAt = this.#source.clock()
		return { kind: 'frame', frame: { frame: 'position', plan_id: this.plan.plan_id, cursor: this.cursor } }
	}

	[Symbol.dispose](): void {
		if (!this.#disposed) this.#source.leave()
		this.#disposed = true
		this.#room?.[Symbol.dispose]()
		this.#room = null
	}

	*#items(page: Page, ready: StreamItem | null): Generator<StreamItem, void, void> {
		this.#pendingReady = null
		if (ready !== null) yield ready
		for (const stored of page.events) {
			this.#position = positionAfter(stored)
			this.#isFiltered = this.filter?.shows(stored) === false
			if (!this.#isFiltered) yield { kind: 'event', stored }
		}
		this.#atHead = page.head === null || page.from_seq + page.events.length > page.head.head_seq
		if (!this.#atHead) return
		const status = page.head?.summary?.status
		if (this.request.follow === 'until_done' && status !== undefined && isFinished(status)) {
			yield* this.#finish(this.end(status, false))
			return
		}
		const moved = this.movedByFilter()
		if (moved !== null) yield moved
	}

	*#finish(end: EndItem): Generator<StreamItem, void, void> {
		this.#endFrame = end.frame
		yield end
	}

	async #ready(page: Page): Promise<StreamItem> {
		const { head, verdict, from_seq, from_cursor } = page
		const snapshot = this.#position === null && this.request.snapshot
		const cursor = formatPosition(from_cursor ?? { seq: 0 })
		const isWanted = (snapshot || verdict.reset !== null) && head !== null
		const state = isWanted ? await this.#readState(from_seq) : null
		this.#lostState = false
		this.#epoch = verdict.epoch
		this.#position = { seq: from_cursor?.seq ?? 0, cursor }
		this.#lastFrameAt = this.#source.clock()
		this.#pendingReady = {
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
		return { kind: 'frame', frame: this.#pendingReady }
	}

	/** Reads the state before an event; null after that was trimmed. */
	async #readState(from_seq: number): Promise<PlanState | null> {
		const fold = await this.#source.states.foldAt(this.plan, from_seq - 1)
		return fold?.state ?? null
	}
}

/** Returns the position after an event, without keeping the event alive. */
export function positionAfter({ seq, cursor }: StoredEvent): ReaderPosition {
	return { seq, cursor }
}
