import type { ControlFrame, EndFrame, HistoryOutput, PlanEvent, SubscribeInput } from '@planstream/shared'
import { EventSourceParserStream } from 'eventsource-parser/stream'
import { WebSocket } from 'ws'

/** Turns callbacks into an async iterable, in order. Unbounded, since only tests use it. */
export class AsyncQueue<Item> {
	readonly #items: Item[] = []
	#over: { readonly error?: Error } | null = null
	#wake: () => void = () => undefined

	add(item: Item): void {
		this.#items.push(item)
		this.#wake()
	}

	/** Ends the iterable after the items added so far, with an error if one is given; only the first call counts. */
	end(error?: Error): void {
		this.#over ??= error === undefined ? {} : { error }
		this.#wake()
	}

	async *items(): AsyncGenerator<Item, void, void> {
		for (;;) {
			const next = this.#items.shift()
			if (next !== undefined) yield next
			else if (this.#over !== null) break
			else
				await new Promise<void>((resolve) => {
					this.#wake = resolve
				})
		}
		if (this.#over.error !== undefined) throw this.#over.error
	}
}

/** An item as a reader received it. */
export interface Received {
	readonly id: string
	readonly item: PlanEvent | ControlFrame
	/** The item's JSON. */
	readonly text: string
}

/** Reads a plan's stream over one transport and ends with it. */
export type ReadStream = (url: string, request: SubscribeInput) => AsyncGenerator<Received, void, void>

/** A transport that reads the events of a plan. */
export interface Reader {
	readonly name: string
	readonly read: ReadStream
	/** Whether it delivers control frames. */
	readonly frames: boolean
}

/** Creates a reader for every transport, with nothing but `fetch` and a bare WebSocket. */
export function createBareReaders(token: string | undefined): readonly Reader[] {
	const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
	return [
		{ name: 'tRPC over WebSocket', read: readTrpcWebSocket(headers), frames: true },
		{ name: 'tRPC over SSE', read: readEventStream(headers, formatTrpcUrl), frames: true },
		{ name: 'plain SSE', read: readEventStream(headers, formatPlainUrl), frames: true },
		{ name: 'plain WebSocket', read: readPlainWebSocket(headers), frames: true },
		{ name: 'history pages', read: readHistoryPages(headers), frames: false },
	]
}

type Headers = Readonly<Record<string, string>>

function formatTrpcUrl(url: string, input: SubscribeInput): string {
	return `${url}/trpc/plans.events?${new URLSearchParams({ input: JSON.stringify(input) })}`
}

function formatPlainUrl(url: string, { plan_id, ...query }: SubscribeInput): string {
	const parameters = Object.entries(query).map(([name, value]): [string, string] => [name, String(value)])
	return `${url}/api/v1/streaming/plans/${plan_id}/events?${new URLSearchParams(parameters)}`
}

/** Keep-alive events of tRPC, which carry no items. */
const SIGNS: ReadonlySet<string | undefined> = new Set(['connected', 'ping', 'return'])

function readEventStream(headers: Headers, formatUrl: typeof formatPlainUrl): ReadStream {
	return async function* (url, request) {
		const left = new AbortController()
		try {
			const { status, body } = await fetch(formatUrl(url, request), {
				headers: { accept: 'text/event-stream', ...headers },
				signal: left.signal,
			})
			if (status === 204 || body === null) return
			const messages = body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())
			for await (const { id = '', event, data } of messages) {
				if (SIGNS.has(event)) continue
				const item = JSON.parse(data) as Received['item']
				// Plain SSE escapes line ends of Unicode; written again, the text is the stored one.
				yield { id, item, text: JSON.stringify(item) }
			}
		} finally {
			left.abort()
		}
	}
}

function readTrpcWebSocket(headers: Headers): ReadStream {
	return (url, input) =>
		readSocket(`${toWebSocketUrl(url)}/trpc`, headers, {
			first: { id: 1, method: 'subscription', params: { path: 'plans.events', input } },
			read: (text) => {
				const { result, error } = JSON.parse(text) as {
					result?: { type: string; id?: string; data?: { id: string; data: Received['item'] } }
					error?: unknown
				}
				if (error !== undefined) throw new Error(`The subscription was refused: ${text}`)
				if (result?.type === 'stopped') return 'over'
				const { id, data: item } = result?.data ?? {}
				return id === undefined || item === undefined ? null : { id, item, text: JSON.stringify(item) }
			},
		})
}

function readPlainWebSocket(headers: Headers): ReadStream {
	return (url, request) =>
		readSocket(`${toWebSocketUrl(url)}/api/v1/streaming/ws/conformance`, headers, {
			first: { action: 'subscribe', ...request },
			read: (text) => {
				const item = JSON.parse(text) as Received['item']
				return 'event_type' in item && item.event_type === 'ping' ? null : { id: item.cursor ?? '', item, text }
			},
		})
}

interface Conversation {
	readonly first: object
	/** Parses a message: an item, null for none, `over` for the end. */
	readonly read: (text: string) => Received | 'over' | null
}

async function* readSocket(
	address: string,
	headers: Headers,
	{ first, read }: Conversation,
): AsyncGenerator<Received, void, void> {
	const queue = new AsyncQueue<Received>()
	const socket = new WebSocket(address, { headers })
	socket.on('open', () => socket.send(JSON.stringify(first)))
	socket.on('message', (data) => {
		try {
			const received = read(String(data))
			if (received === 'over') queue.end()
			else if (received !== null) queue.add(received)
		} catch (error) {
			queue.end(error as Error)
		}
	})
	socket.on('close', () => queue.end())
	socket.on('error', (error) => queue.end(error))
	try {
		for await (const received of queue.items()) {
			yield received
			if (isLast(received.item)) return
		}
	} finally {
		socket.terminate()
	}
}

function readHistoryPages(headers: Headers): ReadStream {
	return async function* (url, { plan_id, after = 'start' }) {
		let next = { next_cursor: String(after), finished: false }
		while (!next.finished) {
			const query = new URLSearchParams({ after: next.next_cursor, limit: '7', wait_ms: '10000' })
			const answer = await fetch(`${url}/api/v1/streaming/plans/${plan_id}/history?${query}`, { headers })
			const page = (await answer.json()) as HistoryOutput
			for (const item of page.events) yield { id: item.cursor, item, text: JSON.stringify(item) }
			next = page
		}
	}
}

function isLast(item: Received['item']): item is EndFrame {
	return 'frame' in item && item.frame === 'end'
}

function toWebSocketUrl(url: string): string {
	return url.replace(/^http/, 'ws')
}
