import { PlanstreamError } from '@planstream/shared'
import type { PublishOutput } from '../generated/answers.js'
import type { PublishInput } from '../generated/commands.js'
import { type PersistPorts, persist } from '../http.js'
import { linkedController } from '../timing.js'
import type { Calling } from '../types.js'
import type { OutgoingEvent } from './outbox.js'

const ROUTE = { kind: 'mutation', method: 'POST', path: '/api/v1/streaming/plans/{plan_id}/events' } as const

type Results = PublishOutput['results']

export interface SenderPorts extends PersistPorts {
	readonly call: Calling
	readonly silenceMs: number
}

export interface SenderOptions {
	readonly giveUpAfterMs: number | null
	readonly onRetry: (failure: PlanstreamError) => void
}

/** Sends batches to one plan, each for as long as it takes. */
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
	 * Resolves when the events are durable. When the log holds some of them, those are sent by themselves, for the server to
	 * compare them, and the new ones after them: the server has refused the whole batch then, so nothing of it is under way.
	 *
	 * @throws PlanstreamError the refusal, with the `event_id` of the event it names
	 */
	async send(events: readonly OutgoingEvent[], signal: AbortSignal): Promise<Results> {
		try {
			return await this.#persist(events, signal)
		} catch (error) {
			const known = knownIds(error)
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
			throw withEventId(error, events)
		}
	}

	/** An answer that stays out for too long is no answer: a connection may be dead without a sign. */
	async #attempt(events: readonly OutgoingEvent[], signal: AbortSignal): Promise<Results> {
		const { call, clock, silenceMs } = this.#ports
		const controller = linkedController(signal)
		const cancel = clock.after(silenceMs, () => {
			controller.abort(new PlanstreamError('unreachable', `The server has not answered a publish within ${silenceMs} ms.`))
		})
		try {
			const input: PublishInput = { plan_id: this.#plan_id, events }
			const { results } = await call<PublishOutput>(ROUTE, input, { signal: controller.signal })
			return results
		} finally {
			cancel()
			controller.unlink()
		}
	}
}

/** The ids of a batch that the log holds already; null when that is not what is wrong. */
function knownIds(error: unknown): ReadonlySet<unknown> | null {
	const duplicates = error instanceof PlanstreamError && error.code === 'conflict' ? error.facts.duplicates : undefined
	return Array.isArray(duplicates) ? new Set(duplicates) : null
}

/** A refusal that names an event by its place in the batch names it by its id too. */
function withEventId(error: unknown, events: readonly OutgoingEvent[]): unknown {
	if (!(error instanceof PlanstreamError)) return error
	const [, index] = /^events[.[](\d+)/.exec(String(error.facts.path)) ?? []
	const event = index === undefined ? undefined : events[Number(index)]
	if (event === undefined) return error
	return new PlanstreamError(error.code, error.message, { ...error.facts, event_id: event.event_id }, { cause: error })
}
