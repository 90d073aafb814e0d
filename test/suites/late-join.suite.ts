import { createPlanstreamClient, type EventInput } from '@planstream/client'
import { expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { ServerProcess } from '../support/servers/server-process.js'
import { EVENT_READERS, type ReadStream } from '../support/streams/stream-readers.js'

const SUBSCRIBERS = 100
const PLAN = 'plan_1'

const sdk = (transport: 'websocket' | 'sse') =>
	async function* (url: string): AsyncGenerator<number> {
		await using planstream = createPlanstreamClient({ url, transport, WebSocket })
		for await (const { seq } of planstream.plans.events({ plan_id: PLAN })) yield seq
	}

const stock = (read: ReadStream) =>
	async function* (url: string): AsyncGenerator<number> {
		for await (const { item } of read(url, { plan_id: PLAN })) if ('seq' in item) yield item.seq
	}

const SEQUENCES = [sdk('websocket'), sdk('sse'), ...EVENT_READERS.map(([, read]) => stock(read))]

/** Checks readers that join at random moments of a plan that is published at full speed. */
export function lateJoinSuite(events: number): void {
	it(`gives each of ${SUBSCRIBERS} subscribers ${events} events once, in order, whenever they join`, async () => {
		await using server = await ServerProcess.start()
		await using planstream = createPlanstreamClient({ url: server.url })
		await using publisher = planstream.publisher(PLAN)
		const moments = Array.from({ length: SUBSCRIBERS }, (_, index) => Math.floor(drawn(index) * events)).sort((a, b) => a - b)
		const counts: Promise<number>[] = []
		for (let seq = 1; seq <= events; seq++) {
			while ((moments[counts.length] ?? events) < seq) counts.push(count(server.url, counts.length))
			await publisher.publish(seq === events ? COMPLETED : progress(seq / events))
		}
		await publisher.close()
		expect(await Promise.all(counts)).toEqual(Array.from({ length: SUBSCRIBERS }, () => events))
	})
}

const COMPLETED: EventInput = { event_type: 'plan_completed', data: {} }

function progress(part: number): EventInput {
	return { event_type: 'step_progress', step_id: 'step_1', data: { progress: part, message: 'x'.repeat(100) } }
}

/** Counts the events that one subscriber sees and throws on a gap or a duplicate. */
async function count(url: string, subscriber: number): Promise<number> {
	const sequence = SEQUENCES[subscriber % SEQUENCES.length]
	if (sequence === undefined) throw new RangeError(`There is no subscriber ${subscriber}.`)
	let last = 0
	for await (const seq of sequence(url)) {
		if (seq !== last + 1) throw new Error(`Subscriber ${subscriber} saw event ${seq} behind event ${last}.`)
		last = seq
	}
	return last
}

/** Returns the same evenly spread numbers between 0 and 1 in each run (steps of the golden ratio). */
function drawn(index: number): number {
	return (index * 0.618_033_988_749_895) % 1
}
