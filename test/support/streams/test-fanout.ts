import { eventInput } from '@planstream/shared/schemas'
import { expect } from 'vitest'
import { Fanout } from '../../../server/src/delivery/fanout.js'
import type { FanoutLog } from '../../../server/src/delivery/plan-loop.js'
import type { CompressionState, Encoding, StreamTarget } from '../../../server/src/delivery/target.js'
import type { Hub } from '../../../server/src/hub/hub.js'
import { LOCAL_PRINCIPAL } from '../../../server/src/hub/principal.js'
import type { ReadOptions } from '../../../server/src/hub/reader.js'
import { encodeItem, type StreamItem } from '../../../server/src/hub/stream.js'
import { processSchedule, type Schedule } from '../../../server/src/ops/clock.js'
import { startPlanstream } from '../plans/test-planstream.js'

export const PLAN = { tenant: LOCAL_PRINCIPAL.tenant, plan_id: 'p' }
/** A plan from its first event to its end. */
export const WHOLE: ReadOptions = { after: 'start', snapshot: false, follow: 'until_done' }

interface Got {
	readonly frame?: string
	readonly state?: { readonly seq: number } | null
	readonly seq?: number
	readonly cursor: string
	readonly from_seq?: number
	readonly reason?: string
	readonly resume?: boolean
	/** Place among the items of its encoding's context. */
	readonly number?: number
}

/** The send buffer of a connection, whose reader drains it when the test says so. */
export class TestSendBuffer {
	hasRoom = true
	#waiting: (() => void)[] = []

	async turn(signal?: AbortSignal): Promise<Disposable | null> {
		while (!this.hasRoom) {
			if (signal?.aborted === true) return null
			await new Promise<void>((resolve) => this.#waiting.push(resolve))
		}
		return { [Symbol.dispose]: () => undefined }
	}

	setRoom(hasRoom: boolean): void {
		this.hasRoom = hasRoom
		if (!hasRoom) return
		for (const go of this.#waiting.splice(0)) go()
	}
}

/** A connection with one stream, whose reader drains it when the test says so. */
export class TestTarget extends TestSendBuffer implements StreamTarget {
	readonly encoding: Encoding
	readonly got: Got[] = []
	writes = 0
	isOver = false
	failure: unknown = null
	readonly #onWrite: () => void

	/** @param key - `numbered` for an encoding whose bytes depend on those before */
	constructor(key: string, onWrite: () => void) {
		super()
		this.#onWrite = onWrite
		const encode = (item: StreamItem) => Buffer.from(`${encodeItem(item)}\n`)
		this.encoding = key === 'numbered' ? { key, encode, context: numberItems } : { key, encode }
	}

	readonly sink = {
		write: (bytes: Buffer): boolean => {
			expect(this.isOver).toBe(false)
			this.writes++
			this.#onWrite()
			for (const line of String(bytes).trimEnd().split('\n')) this.got.push(JSON.parse(line) as Got)
			return this.hasRoom
		},
	}

	ended(): void {
		this.isOver = true
	}

	failed(thrown: unknown): void {
		this.isOver = true
		this.failure = thrown
	}

	get events(): readonly number[] {
		return this.got.flatMap(({ seq }) => seq ?? [])
	}

	get frames(): readonly string[] {
		return this.got.flatMap(({ frame }) => frame ?? [])
	}
}

/** Numbers items as they are encoded, which stands for a compression that refers to what came before. */
function numberItems(): CompressionState {
	let number = 0
	const encode = (item: StreamItem) => Buffer.from(`${JSON.stringify({ ...JSON.parse(encodeItem(item)), number: number++ })}\n`)
	return { encode, isNew: () => number === 0, isFull: () => false }
}

/** Starts the fan-out of an in-memory hub, on a clock that only writes advance. */
export async function startTestFanout({
	writeMs = 0,
	schedule = processSchedule,
}: {
	writeMs?: number
	schedule?: Schedule
} = {}) {
	const planstream = await startPlanstream()
	const { hub }: { hub: Hub } = planstream
	const log: FanoutLog = {
		read: (...position) => planstream.log.read(...position),
		watch: (...target) => planstream.log.watch(...target),
	}
	let now = 0
	const deliveries = new Fanout(hub, { log, schedule, clock: () => now })
	const onWrite = () => {
		now += writeMs
	}
	let published = 0
	const publish = async (count: number, step_id = 's') => {
		const sent = Array.from({ length: count }, () => {
			const data = { channel: 'text', index: published++, delta: 'x' }
			return { event_type: 'step_output', step_id, data }
		})
		return hub.publish(LOCAL_PRINCIPAL, { plan_id: 'p', sent, events: sent.map((event) => eventInput.parse(event)) })
	}
	const finish = () => {
		const sent = [{ event_type: 'plan_completed', data: {} }]
		return hub.publish(LOCAL_PRINCIPAL, { plan_id: 'p', sent, events: sent.map((event) => eventInput.parse(event)) })
	}
	const attach = (request: Partial<ReadOptions> = {}, key = 'wire') => {
		const outlet = new TestTarget(key, onWrite)
		return { outlet, delivery: deliveries.deliver(LOCAL_PRINCIPAL, 'p', { ...WHOLE, ...request }, outlet) }
	}
	/** Advances the clock. */
	const pass = (ms: number): void => {
		now += ms
	}
	return { hub, log, deliveries, publish, finish, attach, pass, [Symbol.asyncDispose]: () => planstream[Symbol.asyncDispose]() }
}

/** Passes this many turns of the event loop. */
export async function passTurns(count = 5): Promise<void> {
	for (let turn = 0; turn < count; turn++) await new Promise(setImmediate)
}

/** Returns the sequence numbers from one to another. */
export function seqsUpTo(head: number, from = 1): number[] {
	return Array.from({ length: head - from + 1 }, (_, index) => from + index)
}
