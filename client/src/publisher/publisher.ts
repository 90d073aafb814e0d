/// <reference lib="esnext.disposable" preserve="true" />

import type { PlanstreamError } from '@planstream/shared'
import { notify } from '../callbacks.js'
import { makeAsyncDisposable } from '../disposal.js'
import { bindEventHelpers, type EventHelpers } from '../generated/event-helpers.js'
import type { EventInput } from '../generated/event-inputs.js'
import type { RetryPorts } from '../http.js'
import { assertId } from '../input.js'
import { assertAmount } from '../options.js'
import type { Lifetime } from '../timing.js'
import type { Calling } from '../types.js'
import { BatchSender } from './batch-sender.js'
import { type Accepted, type PublisherState, PublishQueue } from './queue.js'

export interface PublisherOptions {
	/**
	 * Milliseconds to retry a batch before the publisher stops with the last failure; null: until it is closed.
	 * @defaultValue `null`
	 */
	readonly giveUpAfterMs?: number | null | undefined
	/** Called after each attempt that failed with a retryable error, before the delay. An error that it throws is reported, no more. */
	readonly onRetry?: ((failure: PlanstreamError) => void) | undefined
}

/**
 * Publishes the events of one external plan, in order, one batch of up to 256 events and 1 MB at a time. Each event gets its
 * `event_id` when it is accepted, and a batch without a response is sent again unchanged until it gets one, so that nothing is stored
 * twice. (If the server already holds some events of a batch, as after a restart of the producer, those are sent on their own to be
 * compared, and the new ones after them.)
 */
export interface Publisher extends EventHelpers, AsyncDisposable {
	readonly state: PublisherState
	/** The error that stopped it; null in every other state. */
	readonly stoppedBy: PlanstreamError | null
	/** Number of accepted events that are not stored yet: at most 1,024 events or 4 MiB. */
	readonly buffered: number
	/**
	 * Accepts an event. Resolves at once while there is room, and waits while 1,024 events or 4 MiB are buffered: await it to slow a fast
	 * producer down to the speed of the server. The event is copied.
	 *
	 * @throws PlanstreamError `invalid_event` for a value that is not JSON, `rate_limited` when 16,384 calls already wait for room,
	 * `illegal_transition` when the publisher is closed or stopped
	 */
	publish(event: EventInput): Promise<Accepted>
	/**
	 * Resolves when every event passed to `publish` so far is stored.
	 *
	 * @throws PlanstreamError the error that stopped the publisher
	 */
	flush(): Promise<void>
	/**
	 * Accepts no more events and resolves when all are stored. While the server is unreachable it waits, until the client is closed.
	 *
	 * @throws PlanstreamError the error that stopped the publisher
	 */
	close(): Promise<void>
}

/** The dependencies of a publisher. */
export interface PublisherPorts extends RetryPorts {
	readonly call: Calling
	readonly scope: Lifetime
	/** Milliseconds without a response after which an attempt counts as failed. */
	readonly silenceMs: number
	/** Makes a globally unique id. */
	readonly makeId: () => string
}

/** @throws PlanstreamError `bad_request` for an invalid `plan_id` or `giveUpAfterMs` */
export function createPublisher(plan_id: string, options: PublisherOptions, ports: PublisherPorts): Publisher {
	const { giveUpAfterMs = null, onRetry = () => {} } = options
	assertId('plan_id', plan_id)
	if (giveUpAfterMs !== null) assertAmount('giveUpAfterMs', giveUpAfterMs)
	const sender = new BatchSender(plan_id, { giveUpAfterMs, onRetry: (failure) => notify(onRetry, failure) }, ports)
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
	return makeAsyncDisposable(publisher, close)
}
