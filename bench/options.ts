import { parseArgs } from 'node:util'

export const SCENARIOS = [
	'append',
	'fanout',
	'bursts',
	'many',
	'paced',
	'stalled',
	'deflate',
	'memory',
	'replay',
	'plans',
] as const
export type ScenarioName = (typeof SCENARIOS)[number]

export interface Options {
	readonly scenarios: readonly ScenarioName[]
	/** Number of rounds. Each case is measured once a round, and the table shows medians over the rounds. */
	readonly rounds: number
	/** Length of one measured window. */
	readonly seconds: number
	/** Numbers of subscribers of one plan, in ascending order. */
	readonly subscribers: readonly number[]
	/** File that the samples are appended to as JSON lines; null for none. */
	readonly json: string | null
	/** File for the chart of the fan-out as an SVG; null for none. */
	readonly chart: string | null
}

export const USAGE = `npm run bench [-- [--quick] [--rounds N] [--seconds S] [--subscribers N,N] [--json FILE] [--chart FILE] [${SCENARIOS.join(' ')}]]`

const FULL = { rounds: 5, seconds: 2, subscribers: [1, 100, 1000] } as const
const QUICK = { rounds: 3, seconds: 1, subscribers: [100] } as const

const MOST = { rounds: 50, seconds: 60, subscribers: 5000 } as const

/** @throws Error that names the argument and its valid values */
export function parseOptions(args: readonly string[]): Options {
	const { values, positionals } = parseArgs({
		args: [...args],
		allowPositionals: true,
		options: {
			quick: { type: 'boolean', default: false },
			rounds: { type: 'string' },
			seconds: { type: 'string' },
			subscribers: { type: 'string' },
			json: { type: 'string' },
			chart: { type: 'string' },
		},
	})
	const defaults = values.quick ? QUICK : FULL
	return {
		scenarios: positionals.length === 0 ? SCENARIOS : positionals.map(parseScenario),
		rounds: values.rounds === undefined ? defaults.rounds : parseWholeNumber('rounds', values.rounds, MOST.rounds),
		seconds: values.seconds === undefined ? defaults.seconds : parsePositive('seconds', values.seconds, MOST.seconds),
		subscribers: values.subscribers === undefined ? defaults.subscribers : parseCounts(values.subscribers),
		json: values.json ?? null,
		chart: values.chart ?? null,
	}
}

function parseScenario(text: string): ScenarioName {
	const found = SCENARIOS.find((name) => name === text)
	if (found !== undefined) return found
	throw new Error(`Unknown scenario "${text}". Use one of ${SCENARIOS.join(', ')}.`)
}

function parseCounts(text: string): number[] {
	return text
		.split(',')
		.map((part) => parseWholeNumber('subscribers', part, MOST.subscribers))
		.sort((one, other) => one - other)
}

function parseWholeNumber(name: string, text: string, most: number): number {
	const value = parsePositive(name, text, most)
	if (Number.isInteger(value)) return value
	throw new Error(`--${name} is ${text}. Use a whole number.`)
}

function parsePositive(name: string, text: string, most: number): number {
	const value = Number(text)
	if (value > 0 && value <= most) return value
	throw new Error(`--${name} is ${text}. Use a number above 0 and at most ${most}.`)
}
