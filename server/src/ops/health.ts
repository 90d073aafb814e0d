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

const HEALTH_HELP = '1 for the current status of a component, 0 for its other statuses.'

/** What each metric counts, by its name without `planstream_`; a name that ends in `_total` is of a counter since the start. */
export const METRICS = {
	connections: 'Open connections that carry streams.',
	subscriptions: 'Open subscriptions to plans, of all connections.',
	watchers: 'Plans and readers that wait for the next event.',
	attempts: 'Attempts of steps that run.',
	timers: 'Timeouts of plans and reviews that are waited for.',
	streams_behind: 'Streams served from the log at the moment: they came late, asked for a pace or had no room.',
	streams_fell_behind_total: 'Streams that had no room for more and fell behind.',
	streams_slow_total: 'Streams ended because their reader took nothing.',
	writers: 'Plans to which something is being appended.',
	state_plans: 'Plans whose state is in memory.',
	state_bytes: 'Bytes of the states in memory.',
	tail_bytes: 'Bytes of recent events in memory.',
	answer_bytes: 'Bytes of answers that wait for their readers.',
	uncaught_total: 'Errors that nothing caught.',
} as const

/**
 * Formats metrics for Prometheus: one line per component and status, 1 for its current status and 0 for the others, then each number.
 */
export function formatMetrics(health: Health, numbers: Readonly<Record<keyof typeof METRICS, number>>): string {
	const parts = health.components.flatMap(({ component, status }) =>
		HEALTH_STATUSES.map((each) => {
			const labels = `component="${component}",status="${each}"`
			return `planstream_health{${labels}} ${each === status ? 1 : 0}`
		}),
	)
	const lines = Object.entries(METRICS).flatMap(([name, help]) => [
		...describeMetric(name, help),
		`planstream_${name} ${numbers[name as keyof typeof METRICS]}`,
	])
	return `${[...describeMetric('health', HEALTH_HELP), ...parts, ...lines].join('\n')}\n`
}

function describeMetric(name: string, help: string): string[] {
	return [`# HELP planstream_${name} ${help}`, `# TYPE planstream_${name} ${name.endsWith('_total') ? 'counter' : 'gauge'}`]
}
