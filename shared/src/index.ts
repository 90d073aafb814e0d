export type * from './commands.js'
export type { ModifyOp } from './commands.js'
export * from './cursor.js'
export * from './errors.js'
export * from './event-types.js'
export type * from './events.js'
export type * from './frames.js'
export * from './ids.js'
export type { Json } from './json.js'
export { jsonBytes } from './json-bytes.js'
export { escapeLineEnds } from './json-line.js'
export { normalisePlan, normaliseStep } from './normalise.js'
export {
	applyEvent,
	initialPlanState,
	isPlanFinished,
	listOpenReviews,
	MAX_INLINE_RESULT,
	MAX_INLINE_RESULTS,
	type OpenReview,
} from './plan-state.js'
export type * from './plans.js'
export * from './status.js'
export { indexSteps, isDone, isFree } from './step-state.js'
