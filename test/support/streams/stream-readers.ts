import type { EndFrame, HistoryOutput, SubscribeInput } from '@planstream/shared'
import { createTRPCClient, createWSClient, httpSubscriptionLink, type TRPCLink, wsLink } from '@trpc/client'
import { EventSource } from 'eventsource'
import { WebSocket } from 'ws'
import type { AppRouter } from '../../../server/src/api/router.js'
import type { ReadStream, Received } from '../../../server/src/testing/readers.js'
import { AsyncQueue } from '../../../server/src/testing/readers.js'

export type { ReadStream, Received } from '../../../server/src/testing/readers.js'

async function* subscribe(link: TRPCLink<AppRouter>, request: SubscribeInput): AsyncGenerator<Received, void, void> {
	const handed = new AsyncQueue<Received>()
	const client = createTRPCClient<AppRouter>({ links: [link] })
	const subscription = client.plans.events.subscribe(request, {
		onData: ({ id, data }) => handed.add({ id, item: data, text: JSON.stringify(data) }),
		onComplete: () => handed.end(),
		onError: (error) => handed.end(error),
	})
	try {
		yield* handed.items()
	} finally {
		subscription.unsubscribe()
	}
}

/**
 * Provides the WebSocket that Node 20 lacks. The types of `ws` and of browsers differ only in members that are not used here.
 */
export const NodeWebSocket = WebSocket as unknown as typeof globalThis.WebSocket

/** The stock tRPC client over WebSocket. */
const readTrpcWebSocket: ReadStream = async function* (url, request) {
	const client = createWSClient({ url: `${url.replace('http', 'ws')}/trpc`, WebSocket: NodeWebSocket, retryDelayMs: () => 0 })
	try {
		yield* subscribe(wsLink({ client }), request)
	} finally {
		await client.close()
	}
}

/** The stock tRPC client over server-sent events. */
const readTrpcSse: ReadStream = (url, request) => subscribe(httpSubscriptionLink({ url: `${url}/trpc`, EventSource }), request)

/** The status that stops an EventSource. */
const NOTHING_MORE = 204

/** An EventSource that is closed at a final `end`. */
const readSse: ReadStream = async function* (url, { lastEventId, ...request }) {
	const handed = new AsyncQueue<Received>()
	const source = new EventSource(sseUrl(url, request), { fetch: resumedFetch(lastEventId) })
	const take = ({ lastEventId, data }: MessageEvent<string>): void => {
		const item = JSON.parse(data) as Received['item']
		// Written again, because plain SSE escapes line ends of Unicode.
		handed.add({ id: lastEventId, item, text: JSON.stringify(item) })
	}
	for (const name of ['message', 'ready', 'position', 'end', 'problem']) source.addEventListener(name, take)
	source.addEventListener('end', ({ data }) => {
		if (!(JSON.parse(data) as EndFrame).resume) handed.end()
	})
	source.addEventListener('error', ({ code, message }) => {
		if (source.readyState === EventSource.CLOSED) handed.end(code === NOTHING_MORE ? undefined : new Error(message))
	})
	try {
		yield* handed.items()
	} finally {
		source.close()
	}
}

/** Sends a last event id that the EventSource itself has not received yet. */
function resumedFetch(lastEventId: string | undefined): typeof fetch {
	return (input, init) => {
		const headers = new Headers(init?.headers)
		if (lastEventId !== undefined && !headers.has('last-event-id')) headers.set('last-event-id', lastEventId)
		return fetch(input, { ...init, headers })
	}
}

/** A bare WebSocket that subscribes again after the last cursor when it was cut. */
const readWebSocket: ReadStream = async function* (url, { plan_id, ...request }) {
	let { after = 'start' } = request
	let ended = false
	while (!ended) {
		const handed = new AsyncQueue<Received>()
		const socket = new WebSocket(webSocketUrl(url))
		socket.on('open', () => socket.send(JSON.stringify({ action: 'subscribe', plan_id, ...request, after })))
		socket.on('message', (data: Buffer) => {
			const item = JSON.parse(String(data)) as Received['item']
			if (!('event_type' in item && item.event_type === 'ping')) handed.add({ id: item.cursor ?? '', item, text: String(data) })
		})
		socket.on('close', () => handed.end())
		socket.on('error', () => undefined)
		try {
			for await (const received of handed.items()) {
				after = received.id
				ended = 'frame' in received.item && received.item.frame === 'end' && !received.item.resume
				yield received
				if (ended) break
			}
		} finally {
			socket.terminate()
		}
	}
}

/** Pages of the history, waiting for each that does not exist yet. */
const readHistory: ReadStream = async function* (url, { plan_id, after = 'start' }) {
	const left = new AbortController()
	let next = { next_cursor: String(after), finished: false }
	try {
		while (!next.finished) {
			const query = new URLSearchParams({ after: next.next_cursor, limit: '7', wait_ms: '30000' })
			const address = `${url}/api/v1/streaming/plans/${plan_id}/history?${query}`
			const body = await fetch(address, { signal: left.signal })
				.then((answer) => (answer.status === 503 ? null : answer.text()))
				.catch(() => null)
			if (body === null) continue
			const page = JSON.parse(body) as HistoryOutput
			for (const item of page.events) {
				const text = JSON.stringify(item)
				if (!body.includes(text)) throw new Error(`The page holds another text than ${text}.`)
				yield { id: item.cursor, item, text }
			}
			next = page
		}
	} finally {
		left.abort()
	}
}

/** Returns the address of plain SSE. */
export function sseUrl(url: string, { plan_id, ...query }: SubscribeInput): string {
	const parameters = Object.entries(query).map(([name, value]): [string, string] => [name, String(value)])
	return `${url}/api/v1/streaming/plans/${plan_id}/events?${new URLSearchParams(parameters)}`
}

/** Returns the address of the plain WebSocket. */
export function webSocketUrl(url: string, client_id = 'client_1'): string {
	return `${url.replace('http', 'ws')}/api/v1/streaming/ws/${client_id}`
}

/** Streams whose control frames report their position. */
export const READERS: readonly (readonly [string, ReadStream])[] = [
	['tRPC over WebSocket', readTrpcWebSocket],
	['tRPC over SSE', readTrpcSse],
	['plain SSE', readSse],
	['plain WebSocket', readWebSocket],
]

/** All sources of a plan's events. */
export const EVENT_READERS: typeof READERS = [...READERS, ['history pages', readHistory]]
