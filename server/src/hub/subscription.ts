import {
	type EndReason,
	type EventType,
	formatPosition,
	isFinished,
	type PlanState,
	PlanstreamError,
	type Position,
	parsePosition,
	type ReadyFrame,
} from '@planstream/shared'
import type { EventLog, Page, PlanKey, StoredEvent } from '../log/event-log.js'
import { Bell } from './bell.js'
import type { States } from './states.js'
import { eventOf, type StreamItem } from './stream-item.js'

const PAGE = 256
const POSITION_INTERVAL_MS = 1000

export interface SubscribeRequest {
	readonly after: Position
	readonly event_types?: ReadonlySet<EventType>
	readonly step_id?: string
	/** Put the state into the first `ready`. */
	readonly snapshot: boolean
	readonly follow: 'until_done' | 'always'
	/** Ends the subscription; with a {@link PlanstreamError} `draining` or `auth_expired` as its reason after a last `end` frame. */
	readonly signal: AbortSignal
}

/**
 * Reads a plan's log from a position on and waits at its head: replay and live are this one loop. It queues nothing; a reader
 * that does not ask for the next item costs nothing. Each change of the verdict on the position, the first included, is a
 * `ready` frame; the subscription ends by itself at the head of a finished plan unless `follow` is `always`.
 */
export class Subscription {
	readonly #log: EventLog
	readonly #states: States
	readonly #plan: PlanKey
	readonly #request: SubscribeRequest
	readonly #clock: () => number
	#position: Position
	#epoch: string | null = null
	#hidden = 0
	#lastFrameAt = 0

	constructor(log: EventLog, states: States, plan: PlanKey, request: SubscribeRequest, clock: () => number) {
		this.#log = log
		this.#states = states
		this.#plan = plan
		this.#request = request
		this.#clock = clock
		this.#position = request.after
	}

	async *items(): AsyncGenerator<StreamItem, void, void> {
		const { signal, follow } = this.#request
		const bell = new Bell()
		using _watch = this.#log.watch(this.#plan, () => bell.ring())
		let page = await this.#log.read(this.#plan, this.#position, PAGE)
		yield await this.#ready(page, this.#request.snapshot)
		while (!signal.aborted) {
			yield* this.#events(page)
			if (signal.aborted) break
			if (this.#atHead(page)) {
				if (follow === 'until_done' && page.head?.summary != null && isFinished(page.head.summary.status)) {
					yield this.#end(page.head.summary.status, page.head.head_seq, false)
					return
				}
				yield* this.#movedByFilter()
				await bell.wait(signal)
				if (signal.aborted) break
			}
			page = await this.#log.read(this.#plan, this.#position, PAGE)
			if (page.head === null && this.#epoch !== null) {
				yield this.#end('deleted', 0, false)
				return
			}
			if (page.verdict.reset !== null || page.verdict.epoch !== this.#epoch) yield await this.#ready(page, false)
		}
		const reason = signal.reason instanceof PlanstreamError ? signal.reason.code : null
		if (reason === 'draining' || reason === 'auth_expired') yield this.#end(reason, page.head?.head_seq ?? 0, true)
	}

	async *#events(page: Page): AsyncGenerator<StreamItem, void, void> {
		for (const stored of page.events) {
			if (this.#request.signal.aborted) return
			this.#position = parsePosition(stored.cursor) ?? { seq: stored.seq }
			if (this.#shows(stored)) {
				this.#hidden = 0
				yield { kind: 'event', stored }
			} else this.#hidden++
		}
	}

	#shows(stored: StoredEvent): boolean {
		const { event_types, step_id } = this.#request
		if (event_types === undefined && step_id === undefined) return true
		const event = eventOf(stored)
		return (event_types?.has(event.event_type) ?? true) && (step_id === undefined || event.step_id === step_id)
	}

	#atHead(page: Page): boolean {
		return page.head === null || page.from_seq + page.events.length > page.head.head_seq
	}

	/** Tells a reader that its position moved although it was shown nothing. */
	*#movedByFilter(): Generator<StreamItem, void, void> {
		if (this.#hidden === 0 || this.#clock() - this.#lastFrameAt < POSITION_INTERVAL_MS) return
		this.#hidden = 0
		this.#lastFrameAt = this.#clock()
		yield { kind: 'frame', frame: { frame: 'position', plan_id: this.#plan.plan_id, cursor: formatPosition(this.#position) } }
	}

	async #ready(page: Page, snapshot: boolean): Promise<StreamItem> {
		const { head, verdict, from_seq, from_cursor } = page
		this.#epoch = verdict.epoch
		this.#position = from_cursor ?? { seq: 0 }
		this.#lastFrameAt = this.#clock()
		const frame: ReadyFrame = {
			frame: 'ready',
			plan_id: this.#plan.plan_id,
			cursor: formatPosition(this.#position),
			epoch: verdict.epoch,
			head_seq: head?.head_seq ?? 0,
			oldest_seq: head?.oldest_seq ?? 1,
			from_seq,
			recovered: verdict.reset === null,
			reset: verdict.reset === null ? null : { reason: verdict.reset },
			state: await this.#stateFor(page, snapshot || verdict.reset !== null),
			plan_status: head?.summary?.status ?? 'unknown',
			owner: head?.summary?.owner ?? null,
		}
		return { kind: 'frame', frame }
	}

	#stateFor(page: Page, wanted: boolean): Promise<PlanState | null> {
		if (!wanted || page.head === null) return Promise.resolve(null)
		return this.#states.at(this.#plan, page.from_seq - 1)
	}

	#end(reason: EndReason, final_seq: number, resume: boolean): StreamItem {
		const cursor = formatPosition(this.#position)
		return { kind: 'frame', frame: { frame: 'end', plan_id: this.#plan.plan_id, cursor, reason, final_seq, resume } }
	}
}
