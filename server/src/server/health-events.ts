import { type Actor, asPlanstreamError, type ParsedEvent } from '@planstream/shared'
import type { OnProblem } from '../api/procedure.js'
import type { Hub } from '../hub/hub.js'
import { SYSTEM_PLAN } from '../log/live-log.js'
import type { ComponentHealth, Health } from '../ops/health.js'

/** Events kept for who watches; of more, the latest of each part. */
const KEPT_EVENTS = 256
const SERVER: Actor = { type: 'system', id: 'planstream' }

export interface HealthEventsOptions {
	readonly hub: Hub
	readonly health: Health
	readonly onProblem: OnProblem
}

/** Tells of each change of the server's health on the live-only plan `system`, whose first events say how every part is. */
export class HealthEvents implements Disposable {
	readonly #options: HealthEventsOptions
	readonly #watch: Disposable
	#told: Promise<void> = Promise.resolve()

	constructor(options: HealthEventsOptions) {
		this.#options = options
		const { health } = options
		this.#tell(() => health.components)
		this.#watch = health.watch((changed) => this.#tell(() => [changed]))
	}

	[Symbol.dispose](): void {
		this.#watch[Symbol.dispose]()
	}

	#tell(changed: () => readonly ComponentHealth[]): void {
		this.#told = this.#told
			.then(() => this.#append(changed()))
			.catch((thrown: unknown) => this.#options.onProblem('A change of health was not told of.', asPlanstreamError(thrown)))
	}

	async #append(changed: readonly ComponentHealth[]): Promise<void> {
		const { hub, health } = this.#options
		if ((await hub.tell(changed.map(toDraft))) < KEPT_EVENTS) return
		const { components } = health
		await hub.tell(components.map(toDraft))
		const head = await hub.head(SYSTEM_PLAN)
		if (head !== null) await hub.trim(SYSTEM_PLAN, head.head_seq - components.length + 1)
	}
}

function toDraft({ component, status, detail }: ComponentHealth) {
	const data = { component, status, ...(detail !== null && { detail }) }
	const event: ParsedEvent = { event_type: 'health_update', step_id: null, data }
	return { event, actor: SERVER, sent: event }
}
