import { asPlanstreamError, type EventOf, type EventType, type PlanEvent } from '@planstream/shared'
import type { Health } from '../ops/health.js'

const QUEUE_LIMIT = 10_000
const COMPONENT = 'event_handlers'

/** Called with each event of a type once, on the process that appended it, after it is durable. */
export type EventHandler<Type extends EventType> = (event: EventOf<Type>, tenant: string) => void | Promise<void>

interface Registration {
	readonly queue: { readonly event: PlanEvent; readonly tenant: string }[]
	readonly call: (event: PlanEvent, tenant: string) => void | Promise<void>
	running: boolean
	/** It misses events until its queue is empty. */
	overflowing: boolean
}

export interface HandlerReport {
	readonly registered: number
	/** Events a handler never got because its queue was full. */
	readonly overflowed: number
}

/**
 * Event handlers: at most once over a crash, in the order of the log, one at a time each. A slow or failing
 * handler holds up neither delivery nor other handlers. Who needs every event for sure subscribes instead.
 */
export class Handlers {
	readonly #byType = new Map<EventType, Set<Registration>>()
	readonly #onProblem: (sentence: string, error?: Error) => void
	readonly #health: Health
	#overflowed = 0
	#overflowing = 0

	constructor(onProblem: (sentence: string, error?: Error) => void, health: Health) {
		this.#onProblem = onProblem
		this.#health = health
		health.report(COMPONENT, 'ok')
	}

	on<Type extends EventType>(event_type: Type, handler: EventHandler<Type>): Disposable {
		const registration: Registration = {
			queue: [],
			call: (event, tenant) => handler(event as EventOf<Type>, tenant),
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
				this.#caughtUp(registration)
			},
		}
	}

	/** Whether anybody listens at all, so that nobody parses events for nothing. */
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
				this.#onProblem(`An event handler for ${next.event.event_type} failed; the event was not given to it again.`, error)
			}
		}
		registration.running = false
		this.#caughtUp(registration)
	}

	#overflow(registration: Registration, event: PlanEvent): void {
		this.#overflowed++
		if (registration.overflowing) return
		registration.overflowing = true
		this.#overflowing++
		this.#tell()
		this.#onProblem(`A handler for ${event.event_type} has ${QUEUE_LIMIT} events waiting; it misses events until it catches up.`)
	}

	#caughtUp(registration: Registration): void {
		if (!registration.overflowing) return
		registration.overflowing = false
		this.#overflowing--
		this.#tell()
	}

	#tell(): void {
		const missing = `${this.#overflowing} have ${QUEUE_LIMIT} events waiting and miss events until they catch up.`
		if (this.#overflowing === 0) this.#health.report(COMPONENT, 'ok')
		else this.#health.report(COMPONENT, 'degraded', missing)
	}
}
