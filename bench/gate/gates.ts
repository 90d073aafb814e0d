import type { ScenarioName } from '../options.js'
import { cpuUsEach, type Figure, rssKibEach, usEach } from '../report/rows.js'

/** What the product must not exceed, with room for what differs from run to run and from machine to machine. */
export interface Gate {
	readonly scenario: ScenarioName
	readonly group: string
	readonly what: string
	readonly figure: Figure
	/** What the figure is divided by: that of the floor or of stock tRPC in the same group, measured right before or after; null: nothing. */
	readonly to: 'floor' | 'stock' | null
	readonly most: number
}

const CPU = { what: 'CPU time of a delivery', figure: cpuUsEach } as const
const MEMORY = { what: 'memory of an idle subscriber', figure: rssKibEach } as const
const PUBLISH = { what: 'time of a durable publish', figure: usEach } as const
const REPLAY = { what: 'CPU time of a replayed event in microseconds', figure: cpuUsEach } as const

/**
 * Each holds for all that the product has in its group. What a delivery has to cost is 1.15 times the floor and a seventh (WebSocket)
 * or a thirtieth (server-sent events) of stock tRPC, a fortieth in bursts; where it does that, the limit is 1.4 times the floor and half
 * the gain to stock. Everything else may be about a quarter more than it is.
 */
export const GATES: readonly Gate[] = [
	{ scenario: 'fanout', group: 'ws to 1000', ...CPU, to: 'floor', most: 1.9 },
	{ scenario: 'fanout', group: 'ws to 1000', ...CPU, to: 'stock', most: 0.32 },
	{ scenario: 'fanout', group: 'sse to 1000', ...CPU, to: 'floor', most: 1.9 },
	{ scenario: 'fanout', group: 'sse to 1000', ...CPU, to: 'stock', most: 2 / 30 },
	{ scenario: 'bursts', group: 'ws to 100', ...CPU, to: 'stock', most: 0.16 },
	{ scenario: 'bursts', group: 'sse to 100', ...CPU, to: 'stock', most: 2 / 40 },
	{ scenario: 'memory', group: 'ws to 1000', ...MEMORY, to: 'floor', most: 9 },
	{ scenario: 'memory', group: 'sse to 1000', ...MEMORY, to: 'floor', most: 7 },
	{ scenario: 'append', group: 'append 256', ...PUBLISH, to: 'floor', most: 9 },
	{ scenario: 'replay', group: 'replay', ...REPLAY, to: null, most: 11 },
	{ scenario: 'replay', group: 'pages', ...REPLAY, to: null, most: 22 },
]
