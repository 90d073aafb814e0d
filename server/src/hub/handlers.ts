import { AsyncResource } from 'node:async_hooks'
import { asPlanstreamError, EVENT_TYPES, type EventOf, type EventType, type PlanEvent, PlanstreamError } from '@planstream/shared'
import type { Health } from '../ops/health.js'

const QUEUE_LIMIT = 10_000
const COMPONENT = 'event_handlers'

/** Receives each event of a type once, in the process that appended it, after it is durable. */
export type EventHandler<Type extends EventType> = (event: EventOf<Type>, tenant: string) => void | Promise<void>

interface Registration {
	readonly queue: { readonly event: PlanEvent; readonly tenant: string }[]
	readonly call: (event: PlanEvent, tenant: string) => void | Promise<void>
	running: boolean
	/** Whether its queue was full: it misses events until the queue is empty. */
	overflowing: boolean
}

export interface HandlerReport {
	readonly registered: number
	/** Events that a handler missed because its queue was full. */
	readonly overflowed: number
}

/**
 * Calls event handlers at most once per event, in log order, one event at a time each. A slow or failing handler delays neither delivery
 * nor other handlers. A crash loses queued events: code that needs every event subscribes instead.
 */
export class Handlers {
	readonly #byType = new Map<EventType, Set<Registration>>()
	readonly #onProblem: (message: string, error?: Error) => void
	readonly #health: Health
	#overflowed = 0
	#overflowing = 0

	constructor(onProblem: (message: string, error?: Error) => void, health: Health) {
		this.#onProblem = onProblem
		this.#health = health
		health.report(COMPONENT, 'ok')
	}

	/** @throws PlanstreamError `bad_request` for a type that no event has */
	on<Type extends EventType>(event_type: Type, handler: EventHandler<Type>): Disposable {
		if (!EVENT_TYPES.includes(event_type)) {
			const message = `No event has the type "${String(event_type)}", so its handler would never be called. Use one of EVENT_TYPES.`
			throw new PlanstreamError('bad_request', message, { event_type, allowed: EVENT_TYPES })
		}
		const registration: Registration = {
			queue: [],
			// In the context of its registration: an event is appended in that of any request.
			call: AsyncResource.bind((event: PlanEvent, tenant: string) => handler(event as EventOf<Type>, tenant)),
			running: false,
			overflowing: false,
		}
		const registrations = this.#byType.get(event_type) ?? new Set()
		this.#byType.set(event_type, registrations.add(registration))
		return {
			[Symbol.dispose]: () => {
				registrations.delete(registration)
				if (registrations.size === 0 && this.#byType.get(event_type) === registrations) this.#byType.delete(event_type)
				registration.queue.length = 0
				this.#clearOverflow(registration)
			},
		}
	}

	/** Whether a handler exists, so that events are not parsed needlessly. */
	get any(): boolean {
		return this.#byType.size > 0
	}

	emit(event: PlanEvent, tenant: string): void {
		for (const registration of this.#byType.get(event.event_type) ?? []) {
			if (registration.queue.length >= QUEUE_LIMIT) this.#overflow(registration, event)
			else registration.queue.push({ event, tenant })
			if (!registration.running) void this.#drain(registration)
		}
	}

	report(): HandlerReport {
		const registered = [...this.#byType.values()].reduce((sum, registrations) => sum + registrations.size, 0)
		return { registered, overflowed: this.#overflowed }
	}

	async #drain(registration: Registration): Promise<void> {
		registration.running = true
		await Promise.resolve()
		for (let next = registration.queue.shift(); next !== undefined; next = registration.queue.shift()) {
			try {
				await registration.call(next.event, next.tenant)
			} catch (thrown) {
				const error = asPlanstreamError(thrown)
				this.#onProblem(`An event handler for ${next.event.event_type} failed. It does not get this event again.`, error)
			}
		}
		registration.running = false
		this.#clearOverflow(registration)
	}

	#overflow(registration: Registration, event: PlanEvent): void {
		this.#overflowed++
		if (registration.overflowing) return
		registration.overflowing = true
		this.#overflowing++
		this.#reportHealth()
		this.#onProblem(`A handler for ${event.event_type} has ${QUEUE_LIMIT} queued events and misses new ones until it catches up.`)
	}

	#clearOverflow(registration: Registration): void {
		if (!registration.overflowing) return
		registration.overflowing = false
		this.#overflowing--
		this.#reportHealth()
	}

	#reportHealth(): void {
		const missing = `${this.#overflowing} handlers have ${QUEUE_LIMIT} queued events and miss new ones until they catch up.`
		if (this.#overflowing === 0) this.#health.report(COMPONENT, 'ok')
		else this.#health.report(COMPONENT, 'degraded', missing)
	}
}
