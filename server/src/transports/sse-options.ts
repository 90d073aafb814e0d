import type { Context as HonoContext } from 'hono'
import type { Context } from '../api/context.js'
import type { OnProblem } from '../api/procedure.js'
import type { Deliveries } from '../delivery/deliveries.js'
import type { Hub } from '../hub/hub.js'
import type { SseStreamOptions } from './sse-stream.js'

export const SSE_HEADERS = {
	'content-type': 'text/event-stream; charset=utf-8',
	'cache-control': 'no-cache, no-transform',
	'x-accel-buffering': 'no',
	'x-content-type-options': 'nosniff',
} as const

export interface SseOptions extends SseStreamOptions {
	readonly hub: Hub
	readonly deliveries: Deliveries
	readonly contextOf: (context: HonoContext) => Context
	/** From 0 up to 1. */
	readonly random: () => number
	readonly onProblem: OnProblem
}
