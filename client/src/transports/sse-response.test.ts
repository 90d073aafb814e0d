import { describe, expect, it } from 'vitest'
import { ManualClock } from '#test/support/manual-clock.js'
import { openResponse } from './sse-response.js'
import { BufferedByProxy, ConnectionLost } from './transport.js'

const ROUTE = { name: 'plans.changes', path: '/changes', item: 'any' } as const
const HEARTBEAT_MS = 1000

/** Creates a response whose bytes the test sends. */
async function open() {
	const clock = new ManualClock()
	let send: (text: string) => void = () => {}
	const body = new ReadableStream<Uint8Array>({
		start: (controller) => {
			send = (text) => controller.enqueue(new TextEncoder().encode(text))
		},
	})
	send(': planstream\n\n')
	const fetch = () => Promise.resolve(new Response(body, { headers: { 'content-type': 'text/event-stream' } }))
	const options = { url: new URL('http://localhost:1'), token: null, fetch, clock, heartbeatMs: HEARTBEAT_MS }
	const request = { route: ROUTE, input: {}, lastCursor: null }
	const stream = await openResponse(options, request, { signal: new AbortController().signal, closeAfterMs: null })
	if (stream === 'finished') throw new Error('The stream was expected to be open.')
	const items = stream[Symbol.asyncIterator]()
	const silence = async () => {
		const failure = items.next().catch((error: unknown) => error)
		await new Promise((resolve) => setImmediate(resolve)) // the reader is waiting now
		clock.advance(HEARTBEAT_MS * 2.5)
		return failure
	}
	return { clock, send, items, silence }
}

describe('SSE response', () => {
	it('reports a buffering proxy when nothing arrives after the opening comment', async () => {
		const { silence } = await open()
		expect(await silence()).toBeInstanceOf(BufferedByProxy)
	})

	it('reports a lost connection when a stream falls silent later', async () => {
		const { clock, send, items, silence } = await open()
		const first = items.next()
		await new Promise((resolve) => setImmediate(resolve)) // the reader is waiting now
		clock.advance(HEARTBEAT_MS)
		send('data: {"plans":[]}\n\n')
		expect((await first).value).toEqual({ cursor: null, item: { plans: [] } })
		const failure = await silence()
		expect(failure).toBeInstanceOf(ConnectionLost)
		expect(failure).not.toBeInstanceOf(BufferedByProxy)
	})
})
