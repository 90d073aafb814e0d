import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { compressedSuite, type OpenCompressed } from '../../suites/compressed.suite.js'
import { StreamServer } from '../../support/servers/stream-server.js'
import { connectPlainSocket, type TrpcMessage } from '../../support/streams/socket-client.js'
import { webSocketUrl } from '../../support/streams/stream-readers.js'

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

describe('a reader with permessage-deflate that arrives and stalls at any time', () => {
	it('receives each event as it is stored on the plain WebSocket', () =>
		compressedSuite(
			openWith(
				(url) => webSocketUrl(url),
				(plan_id, after) => ({ action: 'subscribe', plan_id, after }),
			),
			(message) => (message.startsWith('{"seq"') ? message : null),
		))

	it('receives each event as it is stored over tRPC', () =>
		compressedSuite(
			openWith(
				(url) => `${url.replace('http', 'ws')}/trpc`,
				(plan_id, after) => ({ id: 1, method: 'subscription', params: { path: 'plans.events', input: { plan_id, after } } }),
			),
			(message) => {
				const data = (JSON.parse(message) as TrpcMessage).result?.data as { data?: { seq?: number } } | undefined
				return data?.data?.seq === undefined ? null : JSON.stringify(data.data)
			},
		))
})

const COMPLETED = { event_type: 'plan_completed', data: {} }
const outputs = (count: number) =>
	Array.from({ length: count }, (_, index) => {
		const delta = `Document ${index} says ${'the same as every other one. '.repeat(index % 20 === 0 ? 200 : 2)}`
		return { event_type: 'step_output', step_id: 's', data: { index, delta } }
	})

describe('a WebSocket', () => {
	it.each([
		['permessage-deflate', { serverNoContextTakeover: true }],
		['', { serverMaxWindowBits: 11 }],
		['permessage-deflate', { serverMaxWindowBits: 13 }],
	])('negotiates "%s" for the offer %j, and every message is whole', async (extensions, perMessageDeflate) => {
		await using server = await StreamServer.start({ limits: { compression: true } })
		await server.publish('p', outputs(1))
		await using client = await connectPlainSocket(server.url, 'c?plan_id=p', { perMessageDeflate })
		expect(client.socket.extensions).toBe(extensions)
		await server.until(() => server.watchers, 1)
		for (const output of outputs(60)) await server.publish('p', [output])
		await server.publish('p', [COMPLETED])
		const messages = await client.until(({ frame }) => frame === 'end')
		const events = messages.filter(({ seq }) => seq !== undefined).map((message) => JSON.stringify(message))
		expect(events).toEqual(await server.texts('p'))
	})

	it('carries every message and answer whole when it follows several plans and asks in between', async () => {
		await using server = await StreamServer.start({ limits: { compression: true } })
		const plans = ['p', 'q', 'r']
		for (const plan_id of plans) await server.publish(plan_id, outputs(1))
		await using client = await connectPlainSocket(server.url)
		for (const plan_id of plans) client.send({ action: 'subscribe', plan_id })
		await server.until(() => server.watchers, plans.length)
		for (const [index, output] of outputs(60).entries()) {
			for (const plan_id of plans) await server.publish(plan_id, [output])
			if (index === 30) client.send({ action: 'subscribe', plan_id: 'p' })
			client.send({ action: 'ping', timestamp: index })
			await client.until(({ event_type }) => event_type === 'pong')
		}
		client.send({ action: 'unsubscribe', plan_id: 'p' })
		client.send({ action: 'subscribe', plan_id: 'q', after: 'now' })
		client.send({ action: 'subscribe', plan_id: 'r', after: 'now' })
		client.send({ action: 'ping', timestamp: 60 })
		await client.until(({ event_type }) => event_type === 'pong')
		await server.until(() => server.watchers, 2)
		for (const output of outputs(60)) for (const plan_id of ['q', 'r']) await server.publish(plan_id, [output])
		for (const plan_id of ['q', 'r']) await server.publish(plan_id, [COMPLETED])
		let ended = 0
		const last = await client.until(({ frame }) => frame === 'end' && ++ended === 2)
		for (const plan_id of ['q', 'r']) {
			const events = last.filter((message) => message.plan_id === plan_id && message.seq !== undefined)
			expect(events.map((message) => JSON.stringify(message))).toEqual((await server.texts(plan_id)).slice(61))
		}
	})
})
