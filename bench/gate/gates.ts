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
 * Each holds for all that the product has in its group. Where it does what it must, the limit is what it must with slack, or twice what
 * it is when that is less: 1.15 times the floor, a seventh (WebSocket) or a thirtieth (server-sent events) of stock tRPC, a fortieth in
 * bursts. Elsewhere it is two to four times what an idle machine shows, so that a busy one does not fail.
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
