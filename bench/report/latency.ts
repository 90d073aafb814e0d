import type { Row } from './rows.js'
import { spread } from './statistics.js'
import { type Column, short, showSpread } from './table.js'

/** The columns for the time from a request to its result. */
export const LATENCY: readonly Column[] = [
	{ title: 'p50 ms', cell: (row) => showLatency(row, 'p50') },
	{ title: 'p99 ms', cell: (row) => showLatency(row, 'p99') },
]

function showLatency({ rounds }: Row, name: 'p50' | 'p99'): string {
	return showSpread(spread(rounds.map(({ latency }) => latency?.[name] ?? Number.NaN)), short)
}
