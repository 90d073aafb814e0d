import { createHash } from 'node:crypto'
import { type FullCursor, formatCursor, type Json, PlanstreamError } from '@planstream/shared'
import type { EventLog, PlanKey } from '../log/event-log.js'
import { own } from './own.js'
import type { PlanFold } from './plan-fold.js'
import { eventOf } from './stream-item.js'

/** What stands for the first events of a plan once they are gone. */
export interface Base {
	readonly fold: PlanFold
	/** Results that the fold names by the number of their event and does not hold itself, by that number. */
	readonly results: Readonly<Record<string, Json>>
}

/** The text of a base: its digest, then the base itself, because no fingerprint covers it. */
export function encodeBase(base: Base): string {
	const text = JSON.stringify(base)
	return `${digestOf(text)} ${text}`
}

/** @throws PlanstreamError `storage_unavailable` when it is not the text that was stored */
export function decodeBase(stored: string, { plan_id }: Pick<PlanKey, 'plan_id'>): Base {
	const [digest = ''] = stored.split(' ', 1)
	const text = stored.slice(digest.length + 1)
	if (digest === digestOf(text)) return JSON.parse(text) as Base
	throw damaged(plan_id)
}

function damaged(plan_id: string): PlanstreamError {
	const sentence = `What stands for the trimmed events of plan ${plan_id} is damaged in the store. Restore a backup of it.`
	return new PlanstreamError('storage_unavailable', sentence, { plan_id })
}

/** The fold that a base holds, at the place in the log where it stands; the log of an imported plan has another epoch than it had. */
export function foldOfBase(stored: string, plan: Pick<PlanKey, 'plan_id'>, at: FullCursor): PlanFold {
	const { fold } = decodeBase(stored, plan)
	if (fold.state.seq !== at.seq) throw damaged(plan.plan_id)
	return { ...fold, state: { ...fold.state, cursor: formatCursor(at) } }
}

/**
 * The result that an event of a plan holds, also when the event has been trimmed.
 *
 * @returns null when the event holds none
 */
export async function resultAt(log: EventLog, plan: PlanKey, seq: number): Promise<Json> {
	const { events, base } = await log.read(plan, { seq: seq - 1 }, 1)
	const [stored] = events
	if (stored?.seq !== seq) return base === null ? null : resultInBase(decodeBase(base, plan), seq)
	const event = eventOf(stored)
	if (event.event_type === 'step_completed') return event.data.data
	return event.event_type === 'plan_completed' ? event.data.result : null
}

function resultInBase({ fold, results }: Base, seq: number): Json {
	const step = fold.state.steps.find(({ result_seq }) => result_seq === seq)
	const kept = step === undefined ? undefined : own(fold.large_results, step.step_id)
	return kept ?? results[seq] ?? null
}

function digestOf(text: string): string {
	return createHash('sha1').update(text).digest('hex')
}
