/** The status of a component: it works, works in part, or does not work. */
export const HEALTH_STATUSES = ['ok', 'degraded', 'down'] as const
export type HealthStatus = (typeof HEALTH_STATUSES)[number]

export interface ComponentHealth {
	readonly component: string
	readonly status: HealthStatus
	/** Describes the problem and its effect; null without one. It is public, so it names no plan, path or key. */
	readonly detail: string | null
}

/** The health of the server's components, as each reports it. */
export class Health {
	readonly #components = new Map<string, ComponentHealth>()
	readonly #listeners = new Set<(changed: ComponentHealth) => void>()

	/** Every component that has reported, in the order of the first reports. */
	get components(): readonly ComponentHealth[] {
		return [...this.#components.values()]
	}

	/** Reports the status of a component; a repeated report is ignored. */
	report(component: string, status: HealthStatus, detail: string | null = null): void {
		const before = this.#components.get(component)
		if (before?.status === status && before.detail === detail) return
		const changed = { component, status, detail }
		this.#components.set(component, changed)
		for (const listener of this.#listeners) listener(changed)
	}

	/** Calls `listener` with each change from now on. */
	watch(listener: (changed: ComponentHealth) => void): Disposable {
		this.#listeners.add(listener)
		return { [Symbol.dispose]: () => void this.#listeners.delete(listener) }
	}
}

/**
 * Formats metrics for Prometheus: one line per component and status, 1 for its current status and 0 for the others, then each number.
 *
 * @param numbers - gauges by name, and counters since the start by a name that ends in `_total`
 */
export function formatMetrics(health: Health, numbers: Readonly<Record<string, number>>): string {
	const parts = health.components.flatMap(({ component, status }) =>
		HEALTH_STATUSES.map((each) => {
			const labels = `component="${component}",status="${each}"`
			return `planstream_health{${labels}} ${each === status ? 1 : 0}`
		}),
	)
	const lines = Object.entries(numbers).flatMap(([name, value]) => [
		`# TYPE planstream_${name} ${name.endsWith('_total') ? 'counter' : 'gauge'}`,
		`planstream_${name} ${value}`,
	])
	return `${['# TYPE planstream_health gauge', ...parts, ...lines].join('\n')}\n`
}
