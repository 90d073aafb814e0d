import { once } from 'node:events'
import { get } from 'node:http'
import { WebSocket } from 'ws'
import { sseUrl, webSocketUrl } from './stream-readers.js'

/** Subscribes and then reads nothing. Disposing it terminates the connection. */
export type StallReader = (url: string, plan_id: string) => Promise<Disposable>

const stalledWebSocket: StallReader = async (url, plan_id) => {
	const socket = new WebSocket(`${url.replace('http', 'ws')}/trpc`)
	await once(socket, 'open')
	socket.pause()
	socket.send(JSON.stringify({ id: 1, method: 'subscription', params: { path: 'plans.events', input: { plan_id } } }))
	socket.on('error', () => undefined)
	return { [Symbol.dispose]: () => socket.terminate() }
}

const stalledPlainWebSocket: StallReader = async (url, plan_id) => {
	const socket = new WebSocket(`${webSocketUrl(url)}?plan_id=${plan_id}`)
	await once(socket, 'open')
	socket.pause()
	socket.on('error', () => undefined)
	return { [Symbol.dispose]: () => socket.terminate() }
}

/** Reads the headers and leaves the body, which may be compressed like that of a WebSocket. */
const stalledRequest = async (address: string): Promise<Disposable> => {
	const request = get(address, { agent: false, headers: { 'accept-encoding': 'gzip' } })
	const [response] = await once(request, 'response')
	response.on('error', () => undefined)
	return { [Symbol.dispose]: () => request.destroy() }
}

export const STALLED_READERS: readonly (readonly [string, StallReader])[] = [
	['tRPC over WebSocket', stalledWebSocket],
	[
		'tRPC over SSE',
		(url, plan_id) => stalledRequest(`${url}/trpc/plans.events?input=${encodeURIComponent(JSON.stringify({ plan_id }))}`),
	],
	['plain WebSocket', stalledPlainWebSocket],
	['plain SSE', (url, plan_id) => stalledRequest(sseUrl(url, { plan_id }))],
]
