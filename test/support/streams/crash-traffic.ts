import { createPlanstreamClient, type Planstream } from '@planstream/client'
import type { PlanEvent } from '@planstream/shared'
import { WebSocket } from 'ws'
import { EVENT_READERS, type ReadStream } from './stream-readers.js'

/** The events one subscriber has received, and the faults it has seen. */
export interface Watched {
	readonly name: string
	readonly plan_id: string
	readonly event_ids: string[]
	readonly faults: string[]
	readonly ended: Promise<void>
}

const QUICK = { backoff: { initialMs: 20, maxMs: 200 }, WebSocket } as const

/** Yields the events of a plan, and a description of each fault. */
type Follow = (url: string, plan_id: string) => AsyncGenerator<PlanEvent | string>

const sdk = (transport: 'websocket' | 'sse'): Follow =>
	async function* (url: string, plan_id: string): AsyncGenerator<PlanEvent | string> {
		await using planstream = createPlanstreamClient({ url, transport, ...QUICK })
		const resets: string[] = []
		const onReset = () => resets.push('a reset')
		for await (const event of planstream.plans.events({ plan_id }, { onReset })) {
			yield* resets.splice(0)
			yield event
		}
	}

const stock = (read: ReadStream): Follow =>
	async function* (url: string, plan_id: string): AsyncGenerator<PlanEvent | string> {
		for await (const { item } of read(url, { plan_id })) {
			if ('event_type' in item) yield item
			else if (item.frame === 'ready' && item.reset !== null) yield `a reset: ${item.reset.reason}`
		}
	}

const WATCHERS: readonly (readonly [string, Follow])[] = [
	...EVENT_READERS.map(([name, read]) => [name, stock(read)] as const),
	['the SDK over WebSocket', sdk('websocket')],
	['the SDK over SSE', sdk('sse')],
]

/** Follows a plan to its end over one transport after another, through restarts of the server. */
export function watch(url: string, plan_id: string, index: number): Watched {
	const watcher = WATCHERS[index % WATCHERS.length]
	if (watcher === undefined) throw new RangeError(`There is no watcher ${index}.`)
	const [name, read] = watcher
	const watched = { name, plan_id, event_ids: [] as string[], faults: [] as string[] }
	const follow = async () => {
		for await (const next of read(url, plan_id)) {
			if (typeof next === 'string') watched.faults.push(next)
			else if (next.seq === watched.event_ids.length + 1) watched.event_ids.push(next.event_id)
			else watched.faults.push(`event ${next.seq} behind event ${watched.event_ids.length}`)
		}
	}
	return { ...watched, ended: follow() }
}

/** Events that the server has acknowledged as durable. */
export class Acknowledged {
	readonly seqs = new Map<string, number>()
	#waiting: { readonly count: number; readonly resolve: () => void }[] = []

	add(event_id: string, seq: number): void {
		this.seqs.set(event_id, seq)
		const due = this.#waiting.filter(({ count }) => count <= this.seqs.size)
		this.#waiting = this.#waiting.filter(({ count }) => count > this.seqs.size)
		for (const { resolve } of due) resolve()
	}

	/** Resolves when this many more were acknowledged. */
	more(count: number): Promise<void> {
		return new Promise((resolve) => this.#waiting.push({ count: this.seqs.size + count, resolve }))
	}
}

/** Publishes in bursts of up to `burst` events until it is stopped, and resolves when all are stored. */
export async function publishUntil(
	signal: AbortSignal,
	planstream: Planstream,
	{ plan_id, name, burst, acknowledged }: { plan_id: string; name: string; burst: number; acknowledged: Acknowledged },
): Promise<void> {
	await using publisher = planstream.publisher(plan_id)
	for (let round = 0; !signal.aborted; round++) {
		const stored = Array.from({ length: (round % burst) + 1 }, async (_, index) => {
			const event_id = `${name}-${round}-${index}`
			const accepted = await publisher.publish({ event_id, event_type: 'error', data: { code: 'x', message: 'y'.repeat(200) } })
			const receipt = await accepted.stored
			acknowledged.add(receipt.event_id, receipt.seq)
		})
		await Promise.all(stored)
	}
}

export function quickClient(url: string): Planstream {
	return createPlanstreamClient({ url, ...QUICK })
}
