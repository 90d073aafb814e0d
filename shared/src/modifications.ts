import * as z from 'zod'
import { MAX_STEPS, qualityPolicy, retryPolicy, stepId, stepSpec } from './plans.js'

const { step_id: _id, depends_on: _dependencies, ...stepFields } = stepSpec.shape

/** What `update_step` may change: every field of a step but its id and its dependencies; `retry` and `quality` are merged field by field. */
const stepPatch = z
	.strictObject({
		...optionalFields(stepFields),
		retry: z.strictObject(optionalFields(retryPolicy.shape)).optional(),
		quality: z.strictObject(optionalFields(qualityPolicy.shape)).nullable().optional(),
	})
	.refine((patch) => Object.keys(patch).length > 0, 'must change something')

/** One edit of a plan's graph. Edits are applied in order, checked after the last, all or nothing. */
export const modifyOp = z.discriminatedUnion('op', [
	z.strictObject({
		op: z.literal('add_step'),
		step: stepSpec,
		after: stepId.optional().describe('the step it comes behind; absent: the last one'),
	}),
	z.strictObject({ op: z.literal('remove_step'), step_id: stepId }),
	z.strictObject({ op: z.literal('update_step'), step_id: stepId, patch: stepPatch }),
	z.strictObject({ op: z.literal('set_dependencies'), step_id: stepId, depends_on: z.array(stepId).max(MAX_STEPS) }),
	z.strictObject({
		op: z.literal('reorder'),
		step_ids: z.array(stepId).min(1).max(MAX_STEPS).describe('every step that is not running, awaiting review or completed'),
	}),
])
export type ModifyOp = z.output<typeof modifyOp>

type WithoutDefault<Schema> =
	Schema extends z.ZodDefault<infer Inner> ? Inner : Schema extends z.ZodPrefault<infer Inner> ? Inner : Schema
type OptionalFields<Shape extends z.ZodRawShape> = {
	[Key in keyof Shape]: WithoutDefault<Shape[Key]> extends z.ZodType ? z.ZodOptional<WithoutDefault<Shape[Key]>> : never
}

/** The same fields without their defaults, so that an absent one means "as it was". */
function optionalFields<Shape extends z.ZodRawShape>(shape: Shape): OptionalFields<Shape> {
	const fields = Object.entries(shape).map(([name, schema]) => {
		const plain = schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault ? schema.unwrap() : schema
		return [name, z.optional(plain)]
	})
	return Object.fromEntries(fields) as OptionalFields<Shape>
}
