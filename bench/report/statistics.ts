/** The median of several values, and their range. */
export interface Spread {
	readonly median: number
	readonly min: number
	readonly max: number
}

/** @throws RangeError without values */
export function spread(values: readonly number[]): Spread {
	const sorted = [...values].sort((one, other) => one - other)
	const [min, max] = [sorted.at(0), sorted.at(-1)]
	const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]]
	if (min === undefined || max === undefined || low === undefined || high === undefined) {
		throw new RangeError('There are no values to spread. Measure at least one round.')
	}
	return { median: (low + high) / 2, min, max }
}
