import type { ScenarioName } from '../options.js'
import { cpuUsEach, type Figure, rssKibEach, usEach } from '../report/rows.js'

/** A limit for a figure of the product, with slack for differences between runs and machines. */
export interface Gate {
	readonly scenario: ScenarioName
	readonly group: string
	readonly what: string
	readonly figure: Figure
	/** Divisor of the figure: that of the floor or of stock tRPC in the same group, measured right before or after; null for none. */
	readonly to: 'floor' | 'stock' | null
	readonly most: number
}

const CPU = { what: 'CPU time of a delivery', figure: cpuUsEach } as const
const MEMORY = { what: 'memory of an idle subscriber', figure: rssKibEach } as const
const PUBLISH = { what: 'time of a durable publish', figure: usEach } as const
const REPLAY = { what: 'CPU time of a replayed event in microseconds', figure: cpuUsEach } as const

/**
 * Each gate applies to all of the product's cases in its group. Where the product meets its target, the limit is the target with slack,
 * or twice the measured figure if that is less: 1.15 times the floor; a seventh (WebSocket) or a thirtieth (server-sent events) of stock
 * tRPC; a fortieth in bursts. Elsewhere the limit is two to four times the figure of an idle machine, so that a busy one does not fail.
 */
export const GATES: readonly Gate[] = [
	{ scenario: 'fanout', group: 'ws to 1000', ...CPU, to: 'floor', most: 1 },
	{ scenario: 'fanout', group: 'ws to 1000', ...CPU, to: 'stock', most: 0.2 },
	{ scenario: 'fanout', group: 'sse to 1000', ...CPU, to: 'floor', most: 1 },
	{ scenario: 'fanout', group: 'sse to 1000', ...CPU, to: 'stock', most: 0.03 },
	{ scenario: 'bursts', group: 'ws to 100', ...CPU, to: 'stock', most: 0.2 },
	{ scenario: 'bursts', group: 'sse to 100', ...CPU, to: 'stock', most: 0.07 },
	{ scenario: 'memory', group: 'ws to 1000', ...MEMORY, to: 'floor', most: 2.5 },
	{ scenario: 'memory', group: 'sse to 1000', ...MEMORY, to: 'floor', most: 3 },
	{ scenario: 'append', group: 'append 256', ...PUBLISH, to: 'floor', most: 20 },
	{ scenario: 'replay', group: 'replay', ...REPLAY, to: null, most: 15 },
	{ scenario: 'replay', group: 'pages', ...REPLAY, to: null, most: 30 },
]
