import assert from 'node:assert/strict'
import type { EndFrame, ReadyFrame, SubscribeInput } from '@planstream/shared'
import type { Reader, Received } from './readers.js'
import type { Target } from './target.js'

/** A test case that every transport must pass. */
export interface StreamCase {
	readonly name: string
	/** Whether it needs control frames. */
	readonly frames: boolean
	readonly run: (target: Target, reader: Reader) => Promise<void>
}

const STARTED = { event_type: 'plan_started', data: { query: 'Which?', total_steps: 1, research_type: 'comprehensive' } }
const COMPLETED = { event_type: 'plan_completed', data: { result: 'Ω "that"\n\u2028' } }

/** Creates an output event with text that is easily corrupted in transit. */
function createOutput(index: number): object {
	const data = { channel: 'text', index, delta: `${index}: "ä€😀"\n\r\\ data: event: id:` }
	return { event_type: 'step_output', step_id: 'step_1', data }
}

function createOutputs(from: number, to: number): object[] {
	return Array.from({ length: to - from }, (_, index) => createOutput(from + index))
}

/** Reads a stream to its end. Its rejection counts as handled, because a case that failed earlier has reported why. */
function readAll(stream: AsyncIterable<Received>): Promise<Received[]> {
	const reading = collect(stream)
	reading.catch(() => undefined)
	return reading
}

async function collect(stream: AsyncIterable<Received>): Promise<Received[]> {
	const received: Received[] = []
	for await (const next of stream) received.push(next)
	return received
}

function listEventTexts(received: readonly Received[]): string[] {
	return received.filter(({ item }) => 'event_type' in item).map(({ text }) => text)
}

function listFrameNames(received: readonly Received[]): string[] {
	return received.flatMap(({ item }) => ('frame' in item ? [item.frame] : []))
}

function getReady([first]: readonly Received[]): ReadyFrame {
	assert.ok(first !== undefined && 'frame' in first.item && first.item.frame === 'ready', 'the first item is ready')
	return first.item
}

function getEnd(received: readonly Received[]): EndFrame {
	const last = received.at(-1)
	assert.ok(last !== undefined && 'frame' in last.item && last.item.frame === 'end', 'the last item is end')
	return last.item
}

/** Reads the JSON texts of a plan's events from its history. */
async function readHistoryTexts(target: Target, plan_id: string): Promise<string[]> {
	const { body } = await target.ask(`/api/v1/streaming/plans/${plan_id}/history`)
	return (body.events as object[]).map((event) => JSON.stringify(event))
}

/** Starts a reader before its plan exists; one with frames is waited for until it is ready. */
async function startReading(
	target: Target,
	{ read, frames }: Reader,
	request: SubscribeInput,
): Promise<() => Promise<Received[]>> {
	const items = read(target.url, request)
	const first = frames ? await items.next() : null
	const rest = readAll(items)
	return async () => [...(first?.value === undefined ? [] : [first.value]), ...(await rest)]
}

const everything: StreamCase = {
	name: 'delivers every event once, in order and byte for byte, to readers that start before, during and after it, and ends by itself',
	frames: false,
	run: async (target, reader) => {
		const plan_id = target.newPlan()
		const before = await startReading(target, reader, { plan_id })
		await target.publish(plan_id, [STARTED, ...createOutputs(0, 50)])
		const during = readAll(reader.read(target.url, { plan_id }))
		for (let index = 50; index < 100; index++) await target.publish(plan_id, [createOutput(index)])
		await target.publish(plan_id, [COMPLETED])
		const after = readAll(reader.read(target.url, { plan_id }))
		const expected = await readHistoryTexts(target, plan_id)
		assert.equal(expected.length, 102)
		for (const received of [before(), during, after]) assert.deepEqual(listEventTexts(await received), expected)
	},
}

const resuming: StreamCase = {
	name: 'resumes after a cursor, after a number, or at the head',
	frames: false,
	run: async (target, { read }) => {
		const plan_id = target.newPlan()
		await target.publish(plan_id, [STARTED, ...createOutputs(0, 20), COMPLETED])
		const all = await readAll(read(target.url, { plan_id }))
		const texts = listEventTexts(all)
		assert.equal(texts.length, 22)
		const eighth = all.filter(({ item }) => 'event_type' in item)[7]
		for (const after of [eighth?.id ?? '', 8])
			assert.deepEqual(listEventTexts(await readAll(read(target.url, { plan_id, after }))), texts.slice(8))
		assert.deepEqual(listEventTexts(await readAll(read(target.url, { plan_id, after: 'now' }))), [])
	},
}

const framed: StreamCase = {
	name: 'begins with ready and ends with end, each with the cursor to resume from',
	frames: true,
	run: async (target, { read }) => {
		const plan_id = target.newPlan()
		const { cursor } = await target.publish(plan_id, [STARTED, createOutput(0), COMPLETED])
		const received = await readAll(read(target.url, { plan_id }))
		assert.deepEqual(listFrameNames(received), ['ready', 'end'])
		const { head_seq, from_seq, recovered, reset, owner } = getReady(received)
		assert.deepEqual(
			{ head_seq, from_seq, recovered, reset, owner },
			{ head_seq: 3, from_seq: 1, recovered: true, reset: null, owner: 'external' },
		)
		const end = getEnd(received)
		assert.deepEqual([end.reason, end.resume, end.cursor], ['completed', false, cursor])
		for (const { id, item } of received) assert.equal(id, item.cursor)
	},
}

const filtered: StreamCase = {
	name: 'delivers only events that pass its filters, and still ends',
	frames: true,
	run: async (target, { read }) => {
		const plan_id = target.newPlan()
		await target.publish(plan_id, [STARTED, ...createOutputs(0, 5), COMPLETED])
		const received = await readAll(read(target.url, { plan_id, event_types: ['plan_started', 'plan_completed'] }))
		const texts = await readHistoryTexts(target, plan_id)
		assert.deepEqual(listEventTexts(received), [texts.at(0), texts.at(-1)])
		assert.deepEqual(listFrameNames(received), ['ready', 'end'])
	},
}

const rewound: StreamCase = {
	name: 'answers a position beyond the head with a reset and the state, and starts over',
	frames: true,
	run: async (target, { read }) => {
		const plan_id = target.newPlan()
		await target.publish(plan_id, [STARTED, COMPLETED])
		const received = await readAll(read(target.url, { plan_id, after: 1000 }))
		const { recovered, reset, from_seq, state } = getReady(received)
		assert.deepEqual({ recovered, reset, from_seq }, { recovered: false, reset: { reason: 'rewind' }, from_seq: 1 })
		assert.notEqual(state, null)
		assert.equal(listEventTexts(received).length, 2)
	},
}

export const STREAM_CASES: readonly StreamCase[] = [everything, resuming, framed, filtered, rewound]
