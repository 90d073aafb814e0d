import { once } from 'node:events'
import { WebSocket } from 'ws'
import { sseUrl, webSocketUrl } from './stream-readers.js'

/** Reads all bytes of the stream of a finished plan as text. */
export type ReadRawStream = (url: string, plan_id: string) => Promise<string>

const overTrpcWebSocket: ReadRawStream = async (url, plan_id) => {
	const socket = new WebSocket(`${url.replace('http', 'ws')}/trpc`)
	await once(socket, 'open')
	socket.send(JSON.stringify({ id: 1, method: 'subscription', params: { path: 'plans.events', input: { plan_id } } }))
	return until(socket, '"type":"stopped"')
}

const overTrpcSse: ReadRawStream = (url, plan_id) =>
	textOf(`${url}/trpc/plans.events?input=${encodeURIComponent(JSON.stringify({ plan_id }))}`)

const overSse: ReadRawStream = (url, plan_id) => textOf(sseUrl(url, { plan_id }))

const overWebSocket: ReadRawStream = (url, plan_id) =>
	until(new WebSocket(`${webSocketUrl(url)}?plan_id=${plan_id}`), '"frame":"end"')

const overHistory: ReadRawStream = (url, plan_id) => textOf(`${url}/api/v1/streaming/plans/${plan_id}/history`)

async function textOf(address: string): Promise<string> {
	return (await fetch(address)).text()
}

/** Collects the messages of a socket until one of them contains this text. */
async function until(socket: WebSocket, last: string): Promise<string> {
	let text = ''
	socket.on('message', (data: Buffer) => {
		text += `${String(data)}\n`
		if (text.includes(last)) socket.close()
	})
	await once(socket, 'close')
	return text
}

export const RAW_STREAMS: readonly (readonly [string, ReadRawStream])[] = [
	['tRPC over WebSocket', overTrpcWebSocket],
	['tRPC over SSE', overTrpcSse],
	['plain SSE', overSse],
	['plain WebSocket', overWebSocket],
	['history pages', overHistory],
]
