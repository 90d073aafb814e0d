import { setImmediate as turn } from 'node:timers/promises'
import type { EventType, SubscribeInput } from '@planstream/shared'
import fc from 'fast-check'
import type { StreamServer } from '../servers/stream-server.js'
import { EVENT_READERS, READERS, type ReadStream, type Received } from './stream-readers.js'

/** Part of a run: one transport, left after this many items. */
interface Segment {
	readonly reader: number
	readonly items: number
}

/** The run of one reader through a plan that is being published. */
export interface SwitchingRun {
	/** All segments except the last, which is read to the end. */
	readonly segments: readonly Segment[]
	readonly last: number
	readonly filter: Pick<SubscribeInput, 'event_types' | 'step_id'>
	/** The sizes of the published batches, and the turns of the event loop before each. */
	readonly batches: readonly { readonly size: number; readonly turns: number }[]
}

const reader = fc.nat({ max: EVENT_READERS.length - 1 })
const TYPES: readonly EventType[] = ['plan_started', 'step_progress', 'step_output', 'error']

const filter = fc.oneof(
	fc.constant({}),
	fc.record({ event_types: fc.uniqueArray(fc.constantFrom(...TYPES), { minLength: 1 }) }),
	fc.record({ step_id: fc.constantFrom('step_0', 'step_1', 'step_9') }),
)

export const arbitrarySwitchingRun: fc.Arbitrary<SwitchingRun> = fc.record({
	segments: fc.array(fc.record({ reader, items: fc.integer({ min: 1, max: 12 }) }), { maxLength: 6 }),
	last: reader,
	filter,
	batches: fc.array(fc.record({ size: fc.integer({ min: 1, max: 8 }), turns: fc.nat({ max: 40 }) }), { maxLength: 8 }),
})

/** Returns the event texts that the reader got, and those it should get. */
export async function readWithSwitches(
	server: StreamServer,
	plan_id: string,
	way: SwitchingRun,
): Promise<{ seen: string[]; expected: string[] }> {
	const publishing = publishAll(server, plan_id, way)
	const seen: string[] = []
	let after = 'start'
	for (const { reader, items } of way.segments) {
		const read = readerAt(reader, way.filter)(server.url, { plan_id, after, ...way.filter })
		let left = items
		for await (const received of read) {
			after = take(received, seen)
			if (--left === 0) break
		}
	}
	for await (const received of readerAt(way.last, way.filter)(server.url, { plan_id, after, ...way.filter }))
		after = take(received, seen)
	await publishing
	return { seen, expected: (await server.texts(plan_id)).filter((text) => passes(text, way.filter)) }
}

/** Chooses a reader; history pages know no filters, so a stream replaces them when there is one. */
function readerAt(index: number, filter: SwitchingRun['filter']): ReadStream {
	const readers = Object.keys(filter).length === 0 ? EVENT_READERS : READERS
	const [, read] = readers[index % readers.length] ?? []
	if (read === undefined) throw new RangeError(`There is no reader ${index}.`)
	return read
}

/** Records an event and returns the cursor after the item. */
function take({ id, item, text }: Received, seen: string[]): string {
	if ('event_type' in item) seen.push(text)
	return id
}

function passes(text: string, { event_types, step_id }: SwitchingRun['filter']): boolean {
	const event = JSON.parse(text) as { readonly event_type: EventType; readonly step_id: string | null }
	return (event_types?.includes(event.event_type) ?? true) && (step_id === undefined || event.step_id === step_id)
}

async function publishAll(server: StreamServer, plan_id: string, { batches }: SwitchingRun): Promise<void> {
	let published = 0
	for (const { size, turns } of batches) {
		for (let count = 0; count < turns; count++) await turn()
		await server.publish(
			plan_id,
			Array.from({ length: size }, () => eventOf(published++)),
		)
	}
	await server.publish(plan_id, [{ event_type: 'plan_completed', data: {} }])
}

function eventOf(number: number): Record<string, unknown> {
	const step_id = `step_${number % 2}`
	if (number === 0) return { event_type: 'plan_started', data: { query: 'Which?', total_steps: 2 } }
	if (number % 3 === 0) return { event_type: 'step_progress', step_id, data: { progress: 0.5, message: '"ä€😀"\n\\' } }
	if (number % 3 === 1) return { event_type: 'error', data: { code: 'e', message: `data: ${number}\r\nid: 1` } }
	return { event_type: 'step_output', step_id, data: { channel: 'text', index: number, delta: '\u2028' } }
}
