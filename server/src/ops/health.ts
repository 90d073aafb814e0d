/** How a part of the server is: it works, it works in part, or it does not work. */
export const HEALTH_STATUSES = ['ok', 'degraded', 'down'] as const
export type HealthStatus = (typeof HEALTH_STATUSES)[number]

export interface ComponentHealth {
	readonly component: string
	readonly status: HealthStatus
	/** What is wrong and what it means; null when nothing is. Everybody may read it: it names no plan, no path and no key. */
	readonly detail: string | null
}

/** How the parts of the server are, as each of them says itself. */
export class Health {
	readonly #components = new Map<string, ComponentHealth>()
	readonly #listeners = new Set<(changed: ComponentHealth) => void>()

	/** Every part that has said how it is, in the order of their first words. */
	get components(): readonly ComponentHealth[] {
		return [...this.#components.values()]
	}

	/** Says how a part is; the same again is no news. */
	tell(component: string, status: HealthStatus, detail: string | null = null): void {
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
 * What a Prometheus server reads: one line a part and status, 1 for the status it has and 0 for the others, then each number.
 *
 * @param numbers - what is open at the moment by its name, and what was counted since the start by a name that ends in `_total`
 */
export function metricsText(health: Health, numbers: Readonly<Record<string, number>>): string {
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
