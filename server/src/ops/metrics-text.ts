import { HEALTH_STATUSES, type Health } from './health.js'

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
