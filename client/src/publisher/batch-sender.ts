import { PlanstreamError } from '@planstream/shared'
import type { PublishOutput } from '../generated/answers.js'
import type { PublishInput } from '../generated/commands.js'
import * as shapes from '../generated/shapes.js'
import { persist, type RetryPorts } from '../http.js'
import { linkController } from '../timing.js'
import { createTokenError } from '../token.js'
import type { Calling, Route } from '../types.js'
import type { OutgoingEvent } from './outbox.js'

const ROUTE: Route = {
	kind: 'mutation',
	method: 'POST',
	path: '/api/v1/streaming/plans/{plan_id}/events',
	answer: shapes.PublishOutput,
}

type Results = PublishOutput['results']

export interface SenderPorts extends RetryPorts {
	readonly call: Calling
	readonly silenceMs: number
}

export interface SenderOptions {
	readonly giveUpAfterMs: number | null
	readonly onRetry: (failure: PlanstreamError) => void
}

/** Sends batches of events to one plan, with retries. */
export class BatchSender {
	readonly #plan_id: string
	readonly #options: SenderOptions
	readonly #ports: SenderPorts

	constructor(plan_id: string, options: SenderOptions, ports: SenderPorts) {
		this.#plan_id = plan_id
		this.#options = options
		this.#ports = ports
	}

	/**
	 * Resolves when the events are durable. If the server refuses the batch because the log already holds some of its events, those are
	 * sent on their own, so that the server compares them, and the new ones after them.
	 *
	 * @throws PlanstreamError the refusal, with the `event_id` of the event it names
	 */
	async send(events: readonly OutgoingEvent[], signal: AbortSignal): Promise<Results> {
		try {
			return await this.#persist(events, signal)
		} catch (error) {
			const known = findKnownIds(error)
			if (known === null) throw error
			const isKnown = ({ event_id }: OutgoingEvent) => known.has(event_id)
			const before = await this.#persist(events.filter(isKnown), signal)
			const rest = events.filter((event) => !isKnown(event))
			return [...before, ...(await this.#persist(rest, signal))]
		}
	}

	async #persist(events: readonly OutgoingEvent[], signal: AbortSignal): Promise<Results> {
		const { clock } = this.#ports
		const { giveUpAfterMs, onRetry } = this.#options
		const began = clock.now()
		const again = (failure: PlanstreamError): boolean => {
			if (giveUpAfterMs !== null && clock.now() - began >= giveUpAfterMs) return false
			onRetry(failure)
			return true
		}
		try {
			return await persist(() => this.#attempt(events, signal), { again, signal }, this.#ports)
		} catch (error) {
			throw addEventId(error, events)
		}
	}

	/** Gives up on a response after `silenceMs`: a dead connection may give no other sign. */
	async #attempt(events: readonly OutgoingEvent[], signal: AbortSignal): Promise<Results> {
		const { call, clock, silenceMs } = this.#ports
		const controller = linkController(signal)
		const cancel = clock.after(silenceMs, () => {
			controller.abort(new PlanstreamError('unreachable', `The server did not answer a publish within ${silenceMs} ms.`))
		})
		try {
			const input: PublishInput = { plan_id: this.#plan_id, events }
			const { results } = await call<PublishOutput>(ROUTE, input, { signal: controller.signal })
			return results
		} catch (error) {
			throw error instanceof PlanstreamError ? error : createTokenFailure(error)
		} finally {
			cancel()
			controller.unlink()
		}
	}
}

/** Makes the retryable error of a publish whose token could not be had: the only failure of a call that is no PlanstreamError. */
function createTokenFailure(cause: unknown): PlanstreamError {
	const { message } = createTokenError(cause)
	return new PlanstreamError('unreachable', message, {}, { cause })
}

/** Reads which events of a batch the log already holds; null for any other error. */
function findKnownIds(error: unknown): ReadonlySet<unknown> | null {
	const duplicates = error instanceof PlanstreamError && error.code === 'conflict' ? error.facts.duplicates : undefined
	return Array.isArray(duplicates) ? new Set(duplicates) : null
}

/** Adds the `event_id` to a refusal that names an event by its index in the batch. */
function addEventId(error: unknown, events: readonly OutgoingEvent[]): unknown {
	if (!(error instanceof PlanstreamError)) return error
	const [, index] = /^events[.[](\d+)/.exec(String(error.facts.path)) ?? []
	const event = index === undefined ? undefined : events[Number(index)]
	if (event === undefined) return error
	return new PlanstreamError(error.code, error.message, { ...error.facts, event_id: event.event_id }, { cause: error })
}
