import type { PublishOutput } from '../generated/answers.js'

/** What became of one event: its place in the plan's log, and whether it was there before. */
export type StoredReceipt = PublishOutput['results'][number]

/** An event that a publisher has taken and will not forget. */
export interface Accepted {
	/** The event's own, or the one the publisher gave it. */
	readonly event_id: string
	/**
	 * Resolves when the event is durable. Rejects with the server's refusal when its batch was refused, and with that refusal as
	 * `cause` when an earlier batch was. It may be left alone: a failure is told by `flush` and `close` too.
	 */
	readonly stored: Promise<StoredReceipt>
}
