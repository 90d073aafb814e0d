import { once } from 'node:events'
import { describe, it } from 'vitest'
import { WebSocket } from 'ws'
import { type OpenCompressed, readsCompressed } from '../suites/compressed.suite.js'
import { webSocketUrl } from '../suites/stream-readers.js'
import type { Answer } from '../suites/wire.js'

/** Follows a plan with the client of the package `ws`. */
function openWith(address: (url: string) => string, ask: (plan_id: string, after: string) => object): OpenCompressed {
	return async (url, plan_id, after) => {
		const socket = new WebSocket(address(url))
		const messages: string[] = []
		socket.on('message', (data: Buffer) => messages.push(data.toString()))
		await once(socket, 'open')
		socket.send(JSON.stringify(ask(plan_id, after)))
		return {
			extensions: () => Promise.resolve(socket.extensions),
			count: () => Promise.resolve(messages.length),
			messages: () => Promise.resolve(messages),
		}
	}
}

describe('who agrees to permessage-deflate reads each event as it is stored, whenever it comes and however it stalls', () => {
	it('on the plain WebSocket', () =>
		readsCompressed(
			openWith(
				(url) => webSocketUrl(url),
				(plan_id, after) => ({ action: 'subscribe', plan_id, after }),
			),
			(message) => (message.startsWith('{"seq"') ? message : null),
		))

	it('over tRPC', () =>
		readsCompressed(
			openWith(
				(url) => `${url.replace('http', 'ws')}/trpc`,
				(plan_id, after) => ({ id: 1, method: 'subscription', params: { path: 'plans.events', input: { plan_id, after } } }),
			),
			(message) => {
				const data = (JSON.parse(message) as Answer).result?.data as { data?: { seq?: number } } | undefined
				return data?.data?.seq === undefined ? null : JSON.stringify(data.data)
			},
		))
})
