import { isDeepStrictEqual } from 'node:util'
import { type FullCursor, PlanstreamError } from '@planstream/shared'
import { artifact, count, json, MAX_STEPS, normalisedPlan, planState, stepId } from '@planstream/shared/schemas'
import * as z from 'zod'
import { describeIssue, findFirstIssue } from '../ops/issues.js'
import { findJsonFault, MAX_JSON_DEPTH } from '../ops/json.js'
import { decodeFold, decodeSnapshot } from './fold-cache.js'
import type { PlanFold } from './plan-fold.js'

/** A snapshot holds values of clients and agents at most 8 levels further down than they were sent. */
const MAX_SNAPSHOT_DEPTH = MAX_JSON_DEPTH + 8

const record = <Value extends z.ZodType>(value: Value) => z.record(z.string(), value)
const digest = z.string().max(128)
const time = z.iso.datetime()
const name = z.string().max(255)

/** The content of a snapshot, which only archives bring in from outside. */
const snapshot = z.strictObject({
	fold: z.strictObject({
		state: planState.extend({ steps: planState.shape.steps.max(MAX_STEPS) }),
		plan: normalisedPlan.nullable(),
		created: normalisedPlan.nullable(),
		leases: record(z.strictObject({ worker_id: name, losses: count })),
		large_results: record(json),
		output_characters: count,
		artifacts: record(artifact),
		held: record(json),
		clock_from: time.nullable(),
		pause: z.strictObject({ mode: z.enum(['drain', 'interrupt']), reason: z.string().nullable(), since: time }).nullable(),
		cancel: z.strictObject({ reason: z.string().nullable(), timed_out: z.boolean() }).nullable(),
		skipped_by: record(stepId.nullable()),
		resolved: z.array(z.string()),
		closed: record(z.enum(['skipped', 'cancelled'])),
		removed: z.array(stepId),
		commands: record(
			z.strictObject({ name, digest, seq: count, status: planState.shape.status, revision: planState.shape.revision }),
		),
		command: z.strictObject({ key: name, name, digest, last_seq: count }).nullable(),
	}),
	results: z.record(z.string().regex(/^\d+$/), json),
})

/**
 * Decodes a snapshot from an archive. Its digest shows only that it was not damaged; everybody can compute one.
 *
 * @throws PlanstreamError `bad_request`, or `storage_unavailable` when the digest does not match
 */
export function decodeForeignSnapshot(stored: string, plan_id: string, at: FullCursor): PlanFold {
	const value: unknown = decodeSnapshot(stored, { plan_id })
	const fault = findJsonFault(value, { depth: MAX_SNAPSHOT_DEPTH })
	if (fault !== null) throw refuse(`${fault.path} ${fault.what}.`)
	const parsed = snapshot.safeParse(value)
	if (!parsed.success) throw refuse(describeIssue(findFirstIssue(parsed.error), value))
	const { plan, created } = parsed.data.fold
	if ([plan, created].some((each) => each !== null && each.plan_id !== plan_id)) throw refuse('it holds another plan.')
	const fold = decodeFold(stored, { plan_id }, at)
	const lacking = findFoldFault(fold)
	if (lacking !== null) throw refuse(lacking)
	return fold
}

/**
 * Finds what makes a fold another than one of events from this server, which fill in every default: events from outside may lack
 * fields, and nobody looks again when the plan goes on.
 *
 * @returns the end of a sentence; null for a whole fold
 */
export function findFoldFault(fold: PlanFold): string | null {
	const parsed = snapshot.shape.fold.safeParse(fold)
	if (!parsed.success) return describeIssue(findFirstIssue(parsed.error), fold)
	const { plan, created } = parsed.data
	const isWhole = isDeepStrictEqual([plan, created], [fold.plan, fold.created])
	return isWhole ? null : 'A step of its graph lacks a field.'
}

function refuse(why: string): PlanstreamError {
	return new PlanstreamError('bad_request', `Line 1 of the archive holds a snapshot that is not one of an export: ${why}`, {
		line: 1,
	})
}
