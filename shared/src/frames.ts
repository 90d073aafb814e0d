import * as z from 'zod'
import type { Wire } from './json.js'
import { count, planState, readablePlanId } from './plans.js'
import { PLAN_OWNERS, PLAN_STATUSES } from './status.js'
import { TypeGroup, unionBy } from './type-group.js'

/** Reasons why the server could not resume from a position; see the verdict table in PROTOCOL.md section 3. */
export const RESET_REASONS = ['trimmed', 'cleared', 'epoch', 'rewind', 'fork'] as const
export type ResetReason = (typeof RESET_REASONS)[number]

export const END_REASONS = ['completed', 'failed', 'cancelled', 'deleted', 'draining', 'auth_expired', 'slow'] as const
export type EndReason = (typeof END_REASONS)[number]

export const frameTypes = new TypeGroup('frames.ts', 'output', { unions: { ResetReason: RESET_REASONS, EndReason: END_REASONS } })

/** The first item of every subscription. */
export const readyFrame = z
	.object({
		frame: z.literal('ready'),
		plan_id: readablePlanId,
		cursor: z.string().describe('the position that the events follow: that of `from_seq - 1`'),
		epoch: z.string().nullable().describe('null while the plan has no log'),
		head_seq: count,
		oldest_seq: count,
		from_seq: count,
		recovered: z.boolean().describe('true unless there is a reset'),
		reset: z.object({ reason: z.enum(RESET_REASONS) }).nullable(),
		state: planState.nullable().describe('the plan as of `from_seq - 1`; present after a reset or with `snapshot`'),
		plan_status: z.enum([...PLAN_STATUSES, 'unknown']),
		owner: z.enum(PLAN_OWNERS).nullable(),
	})
	.register(frameTypes, {
		id: 'ReadyFrame',
		doc: 'Tells where a subscription starts, and whether the server could resume from its position.',
	})

export const positionFrame = z
	.object({
		frame: z.literal('position'),
		plan_id: readablePlanId,
		cursor: z.string(),
	})
	.register(frameTypes, {
		id: 'PositionFrame',
		doc: 'Moves the cursor past events that the filter hides, and serves as a heartbeat.',
	})

export const endFrame = z
	.object({
		frame: z.literal('end'),
		plan_id: readablePlanId,
		cursor: z.string(),
		reason: z.enum(END_REASONS),
		final_seq: count,
		resume: z.boolean().describe('true: reconnect with the cursor; false: nothing follows'),
	})
	.register(frameTypes, { id: 'EndFrame', doc: 'The last item before the server closes a subscription.' })

/** A problem+json body (PROTOCOL.md section 6) as a frame. */
export const problemFrame = z
	.looseObject({
		frame: z.literal('problem'),
		plan_id: readablePlanId.nullable(),
		cursor: z.string().nullable(),
		type: z.string(),
		title: z.string(),
		status: z.int(),
		detail: z.string(),
		code: z.string(),
	})
	.register(frameTypes, { id: 'ProblemFrame', doc: 'An error inside a stream.' })

/** Control frames have no `event_type` and no `seq` and are never stored. */
export const controlFrame = unionBy('frame', [readyFrame, positionFrame, endFrame, problemFrame]).register(frameTypes, {
	id: 'ControlFrame',
	doc: 'A message about the stream rather than the plan; `frame` names its kind.',
})

export type ReadyFrame = Wire<z.output<typeof readyFrame>>
export type PositionFrame = Wire<z.output<typeof positionFrame>>
export type EndFrame = Wire<z.output<typeof endFrame>>
export type ProblemFrame = Wire<z.output<typeof problemFrame>>
export type ControlFrame = Wire<z.output<typeof controlFrame>>
