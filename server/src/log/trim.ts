import { PlanstreamError } from '@planstream/shared'
import type { EventLog, Head, PlanKey } from './event-log.js'

/** What stands in the place of the trimmed events. */
export type Replacement = Parameters<EventLog['trim']>[2]

/**
 * Whether a trim has something to do: a log that is already trimmed as far stays as it is.
 *
 * @throws `bad_request` when the trim reaches beyond the head, where there is nothing its base could stand for
 */
export function canTrim(
	plan: PlanKey,
	{ head_seq, oldest_seq }: Pick<Head, 'head_seq' | 'oldest_seq'>,
	before_seq: number,
): boolean {
	if (before_seq > head_seq + 1) {
		const message =
			`Plan ${plan.plan_id} cannot be trimmed before seq ${before_seq}, its head is ${head_seq}; ` +
			`trim before ${head_seq + 1} at most.`
		throw new PlanstreamError('bad_request', message, { before_seq, head_seq })
	}
	return before_seq > oldest_seq
}
