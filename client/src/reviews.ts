import { listOpenReviews as list } from '@planstream/shared'
import type { PlanState, Review } from './generated/plans.js'

/** A review that waits for an answer, and its step. */
export type OpenReview = Review & { readonly step_id: string }

/** Lists the reviews of a plan that wait for an answer, in the order of its steps. */
export const listOpenReviews: (state: PlanState) => readonly OpenReview[] = list
