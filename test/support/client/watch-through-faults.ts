import { createPlanstreamClient, type EventInput, type PlanstreamClientOptions, type TransportName } from '@planstream/client'
import fc from 'fast-check'
import { WebSocket } from 'ws'
import type { RunningServer } from '../../../server/src/server.js'
import type { FaultProxy, HandshakeFate } from '../servers/fault-proxy.js'

/** The faults that occur while one plan is watched. */
export interface Faults {
	readonly transport: 'auto' | TransportName
	readonly handshakes: HandshakeFate
	/** The number of bytes from the server after which each connection is cut; later connections are not. */
	readonly cuts: readonly number[]
	/** The events, as the watcher sees them, after which every connection is cut. */
	readonly cutsAtEvents: readonly number[]
	/** The number of events published before the watcher starts; the others are published while it watches. */
	readonly before: number
}

/** The number of events in a plan of these tests, including its end. */
export const EVENTS = 24

/** Removes all delays, so that only events matter. Only the timeout of a swallowed handshake takes time. */
const AT_ONCE: Omit<PlanstreamClientOptions, 'url'> = { backoff: { initialMs: 0, maxMs: 0 }, WebSocket, connectTimeoutMs: 500 }

export const arbitraryFaults: fc.Arbitrary<Faults> = fc.record({
	transport: fc.constantFrom('auto', 'websocket', 'sse'),
	handshakes: fc.constant('pass'),
	cuts: fc.array(fc.integer({ min: 0, max: 6000 }), { maxLength: 8 }),
	cutsAtEvents: fc.array(fc.integer({ min: 1, max: EVENTS - 1 }), { maxLength: 3 }),
	before: fc.integer({ min: 0, max: EVENTS }),
})

let plans = 0

/** Watches a plan through the proxy while its faults occur. Resolves with the sequence numbers the watcher saw. */
export async function watchThrough(proxy: FaultProxy, server: RunningServer, faults: Faults): Promise<number[]> {
	const plan_id = `plan_${++plans}`
	await using producer = createPlanstreamClient({ url: server.url })
	await using watcher = createPlanstreamClient({ url: proxy.url, transport: faults.transport, ...AT_ONCE })
	const cuts = [...faults.cuts]
	proxy.nextCut = () => cuts.shift() ?? null
	proxy.webSockets = faults.handshakes
	let published = 0
	const publish = async (count: number) => {
		const events = Array.from({ length: Math.min(count, EVENTS - published) }, () => eventOf(++published))
		if (events.length > 0) await producer.events.publish({ plan_id, events })
	}
	await publish(faults.before)
	const seen: number[] = []
	const watching = (async () => {
		for await (const { seq } of watcher.plans.events({ plan_id })) {
			seen.push(seq)
			if (faults.cutsAtEvents.includes(seq)) proxy.cut()
		}
	})()
	while (published < EVENTS) await publish(3)
	await watching
	return seen
}

function eventOf(number: number): EventInput {
	if (number === EVENTS) return { event_type: 'plan_completed', data: {} }
	return { event_type: 'step_progress', step_id: 'step_1', data: { progress: number / EVENTS, message: 'x'.repeat(number * 10) } }
}
