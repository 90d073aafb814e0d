import { MAX_PUBLISH_EVENTS } from '@planstream/shared/schemas'
import type { SentEvent } from './read-events.js'

/** Below the publish body's limit of 1 MiB, with room for what stands around the events. */
const MAX_BATCH_BYTES = 1_000_000

/** Cuts events, in their order, into batches the server takes; an event that is larger than a batch stands alone. */
export function batches(events: readonly SentEvent[]): SentEvent[][] {
	const cut: SentEvent[][] = []
	let bytes = 0
	for (const sent of events) {
		const batch = cut.at(-1)
		if (batch === undefined || batch.length === MAX_PUBLISH_EVENTS || bytes + 1 + sent.bytes > MAX_BATCH_BYTES) {
			cut.push([sent])
			bytes = sent.bytes
		} else {
			batch.push(sent)
			bytes += 1 + sent.bytes
		}
	}
	return cut
}
