import { type Actor, asPlanstreamError, DEFAULT_TENANT, type ParsedEvent } from '@planstream/shared'
import type { OnProblem } from '../api/procedure.js'
import type { Hub } from '../hub/hub.js'

import type { EventLog } from '../log/event-log.js'
import { reportStore, SYSTEM_PLAN, type TailLog } from '../log/tail.js'

import type { Schedule } from '../ops/clock.js'
import type { ComponentHealth, Health } from '../ops/health.js'

/** Above this many events, the plan is trimmed to the latest one of each component. */
const KEPT_EVENTS = 256
const SERVER: Actor = { type: 'system', id: 'planstream' }

export interface HealthEventsOptions {
	readonly hub: Hub
	readonly log: EventLog
	readonly health: Health
	readonly onProblem: OnProblem
}

/**
 * Publishes changes of the server's health on the live-only plan `system`; its first events give the status of every component.
 */
export class HealthEvents implements Disposable {
	readonly #options: HealthEventsOptions
	readonly #watch: Disposable
	#published: Promise<void> = Promise.resolve()

	constructor(options: HealthEventsOptions) {
		this.#options = options
		const { health } = options
		this.#publish(() => health.components)
		this.#watch = health.watch((changed) => this.#publish(() => [changed]))
	}

	[Symbol.dispose](): void {
		this.#watch[Symbol.dispose]()
	}

	#publish(changed: () => readonly ComponentHealth[]): void {
		this.#published = this.#published
			.then(() => this.#append(changed()))
			.catch((thrown: unknown) => this.#options.onProblem('A health event could not be published.', asPlanstreamError(thrown)))
	}

	async #append(changed: readonly ComponentHealth[]): Promise<void> {
		const { hub, log, health } = this.#options
		if ((await hub.tell(changed.map(toDraft))) < KEPT_EVENTS) return
		const { components } = health
		await hub.tell(components.map(toDraft))
		const head = await log.head(SYSTEM_PLAN)
		if (head !== null) await hub.trim(SYSTEM_PLAN, head.head_seq - components.length + 1)
	}
}

function toDraft({ component, status, detail }: ComponentHealth) {
	const data = { component, status, ...(detail !== null && { detail }) }
	const event: ParsedEvent = { event_type: 'health_update', step_id: null, data }
	return { event, actor: SERVER, sent: event }
}

const INTERVAL_MS = 5000
const RECENT_MS = 1000

export interface StoreWatchOptions {
	readonly log: TailLog
	readonly health: Health
	readonly schedule: Schedule
}

/** Checks the store every 5 s, even while it is idle: a failed store may recover, an idle one may fail. */
export class StoreWatch implements Disposable {
	readonly #options: StoreWatchOptions
	#timer: Disposable | null = null
	#recent: Promise<void> | null = null
	#stopped = false

	constructor(options: StoreWatchOptions) {
		this.#options = options
	}

	start(): void {
		if (!this.#stopped) this.#timer = this.#options.schedule(() => void this.#probe(), INTERVAL_MS)
	}

	/** Rejects while the store is not working. */
	async check(): Promise<void> {
		const { log, health } = this.#options
		try {
			await log.assertWritable()
			await log.list({ tenant: DEFAULT_TENANT, limit: 1 })
			reportStore(health, null)
		} catch (thrown) {
			reportStore(health, asPlanstreamError(thrown))
			throw thrown
		}
	}

	/** Checks at most once a second and repeats the last result in between, for requests without a key. */
	checkSeldom(): Promise<void> {
		if (this.#recent === null) {
			this.#recent = this.check()
			this.#options.schedule(() => {
				this.#recent = null
			}, RECENT_MS)
		}
		return this.#recent
	}

	[Symbol.dispose](): void {
		this.#stopped = true
		this.#timer?.[Symbol.dispose]()
	}

	async #probe(): Promise<void> {
		try {
			await this.check()
		} catch {
			// check() has reported it to the health of the store.
		}
		this.start()
	}
}
