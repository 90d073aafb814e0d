import { type EndReason, PlanstreamError } from '@planstream/shared'
import { Bell } from './bell.js'
import type { PlanReader, ReadRequest } from './plan-reader.js'
import type { StreamItem } from './stream-item.js'

export interface SubscribeRequest extends ReadRequest {
	/** Ends the subscription; with a {@link PlanstreamError} that {@link endReason} knows after a last `end` frame. */
	readonly signal: AbortSignal
}

/**
 * A reader's items for whoever asks for one after the other: it queues nothing, and who does not ask costs nothing.
 *
 * @param watch - tells when there is more to read
 */
export async function* subscription(
	reader: PlanReader,
	signal: AbortSignal,
	watch: (onGrow: () => void) => Disposable,
): AsyncGenerator<StreamItem, void, void> {
	const bell = new Bell()
	using _watch = watch(() => bell.ring())
	do {
		for (const item of await reader.items(await reader.read())) {
			yield item
			if (signal.aborted) break
		}
		if (reader.lastWord !== null) return
		if (reader.atHead) await bell.wait(signal)
	} while (!signal.aborted)
	const reason = endReason(signal.reason)
	if (reason !== null) yield reader.end(reason, true)
}

/** What a reader is told when its stream is to end; null for a reason that goes without a word. */
export function endReason(reason: unknown): EndReason | null {
	if (!(reason instanceof PlanstreamError)) return null
	switch (reason.code) {
		case 'draining':
		case 'auth_expired':
			return reason.code
		case 'slow_consumer':
			return 'slow'
		default:
			return null
	}
}
