/// <reference lib="esnext.disposable" preserve="true" />

import { PlanstreamError } from '@planstream/shared'
import { asyncDisposable } from '../disposal.js'
import { bindEventHelpers, type EventHelpers } from '../generated/event-helpers.js'
import type { EventInput } from '../generated/event-inputs.js'
import type { PersistPorts } from '../http.js'
import type { Lifetime } from '../timing.js'
import type { Calling } from '../types.js'
import { BatchSender } from './batch-sender.js'
import { type Accepted, type PublisherState, PublishQueue } from './queue.js'

export interface PublisherOptions {
	/**
	 * Milliseconds for which a batch is sent again before the publisher stops with its last failure; null: until it is closed.
	 * @defaultValue `null`
	 */
	readonly giveUpAfterMs?: number | null | undefined
	/** Called after each attempt that failed in a way that may pass, before the wait for the next one. */
	readonly onRetry?: ((failure: PlanstreamError) => void) | undefined
}

/**
 * Publishes the events of one plan that is run elsewhere, in their order, in batches of up to 256 events and 1 MB, one batch at a
 * time. Each event gets its `event_id` when it is taken, and a batch that got no answer is sent again as it was until it gets one,
 * so that nothing is stored twice. (Only when the server says that it holds some events of a batch already, as after a restart
 * of the producer, these are sent by themselves, to be compared, and the new ones after them.)
 */
export interface Publisher extends EventHelpers, AsyncDisposable {
	readonly state: PublisherState
	/** Why it stopped; null in every other state. */
	readonly stoppedBy: PlanstreamError | null
	/** Events that are taken and not stored yet: 1,024 events or 4 MiB at most. */
	readonly buffered: number
	/**
	 * Takes an event. It resolves at once while there is room, and waits while 1,024 events or 4 MiB are on their way: await it,
	 * and a fast producer goes as fast as the server. The event is copied.
	 *
	 * @throws PlanstreamError `invalid_event` for what is no JSON, `rate_limited` when 16,384 calls wait for room already,
	 * `illegal_transition` when the publisher is closed or stopped
	 */
	publish(event: EventInput): Promise<Accepted>
	/**
	 * Resolves when every event that was given to `publish` before is stored.
	 *
	 * @throws PlanstreamError what stopped the publisher
	 */
	flush(): Promise<void>
	/**
	 * Takes nothing more and resolves when all is stored. While the server is away it waits; closing the client ends that.
	 *
	 * @throws PlanstreamError what stopped the publisher
	 */
	close(): Promise<void>
}

/** What a publisher works with. */
export interface PublisherPorts extends PersistPorts {
	readonly call: Calling
	readonly scope: Lifetime
	/** Milliseconds without an answer after which an attempt counts as failed. */
	readonly silenceMs: number
	/** Ids that nobody else gives. */
	readonly makeId: () => string
}

/** @throws PlanstreamError `bad_request` for a `giveUpAfterMs` that is no time */
export function createPublisher(plan_id: string, options: PublisherOptions, ports: PublisherPorts): Publisher {
	const { giveUpAfterMs = null, onRetry = () => {} } = options
	if (giveUpAfterMs !== null && !(giveUpAfterMs >= 0)) {
		const sentence = `giveUpAfterMs is ${giveUpAfterMs}. Give a number that is not negative, or null.`
		throw new PlanstreamError('bad_request', sentence, { path: 'giveUpAfterMs' })
	}
	const sender = new BatchSender(plan_id, { giveUpAfterMs, onRetry }, ports)
	const queue = new PublishQueue(sender, ports)
	const publish = (event: EventInput): Promise<Accepted> => queue.publish(event)
	const close = (): Promise<void> => queue.close()
	const publisher = {
		...bindEventHelpers(publish),
		get state() {
			return queue.state
		},
		get stoppedBy() {
			return queue.stoppedBy
		},
		get buffered() {
			return queue.buffered
		},
		publish,
		flush: () => queue.flush(),
		close,
	}
	return asyncDisposable(publisher, close)
}
