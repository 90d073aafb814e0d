import { formatPosition, isFinished, PlanstreamError, type Position } from '@planstream/shared'
import type { EventLog, Page, PlanKey, StoredEvent } from '../log/event-log.js'
import { Bell } from './bell.js'

export interface PageRequest {
	readonly after: Position
	/** Events at most. */
	readonly limit: number
	/** Aborts when nobody waits for an event any more; one that has aborted before asks for no wait. */
	readonly waiting: AbortSignal
}

export interface HistoryPage {
	readonly events: readonly StoredEvent[]
	readonly next_cursor: string
	readonly head_seq: number
	/** Whether the plan is done and the page reaches its end. */
	readonly finished: boolean
}

/**
 * Reads one page, and waits for it when there is nothing yet. `start` is the oldest event that is kept.
 *
 * @throws PlanstreamError `cursor_gone` when the events behind any other position are not to be had
 */
export async function readPage(log: EventLog, plan: PlanKey, { after, limit, waiting }: PageRequest): Promise<HistoryPage> {
	const bell = new Bell()
	using _watch = log.watch(plan, () => bell.ring())
	let position = after
	for (;;) {
		const page = await log.read(plan, position, limit)
		if (page.verdict.reset !== null && position !== 'start') throw cursorGone(plan, page)
		const reached = pageOf(page)
		if (reached.events.length > 0 || reached.finished || waiting.aborted) return reached
		position = page.from_cursor ?? { seq: 0 }
		await bell.wait(waiting)
	}
}

function pageOf({ head, events, from_seq, from_cursor }: Page): HistoryPage {
	const next_cursor = events.at(-1)?.cursor ?? (from_cursor === null ? '0' : formatPosition(from_cursor))
	if (head === null) return { events, next_cursor, head_seq: 0, finished: false }
	const atHead = from_seq + events.length > head.head_seq
	return {
		events,
		next_cursor,
		head_seq: head.head_seq,
		finished: atHead && head.summary !== null && isFinished(head.summary.status),
	}
}

function cursorGone({ plan_id }: PlanKey, { verdict, head, from_cursor }: Page): PlanstreamError {
	const resume_after = from_cursor === null ? '0' : formatPosition(from_cursor)
	const oldest_seq = head?.oldest_seq ?? 1
	const sentence = `The events of plan ${plan_id} behind this position cannot be had (${verdict.reset}). Go on after ${resume_after}, or ask for the plan's state.`
	return new PlanstreamError('cursor_gone', sentence, { reason: verdict.reset, oldest_seq, resume_after })
}
