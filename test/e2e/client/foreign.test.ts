import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createPlanstreamClient, type Planstream, PlanstreamError } from '@planstream/client'
import { describe, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { startTestServer } from '../../support/servers/test-server.js'

/** Starts something that is no Planstream. */
async function startForeign(answer: (request: IncomingMessage, response: ServerResponse) => void) {
	const server = createServer((request, response) => {
		request.resume()
		answer(request, response)
	})
	const sockets = new WebSocketServer({ server })
	await once(server.listen(0, '127.0.0.1'), 'listening')
	return {
		url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
		sockets,
		[Symbol.asyncDispose]: async () => {
			for (const socket of sockets.clients) socket.terminate()
			server.closeAllConnections()
			server.close()
			await once(server, 'close')
		},
	}
}

const json = { 'content-type': 'application/json' }
const foreignAnswers: readonly (readonly [string, number, Readonly<Record<string, string>>, string])[] = [
	['null', 200, json, 'null'],
	['a list', 200, json, '[]'],
	['{"ok":true}', 200, json, '{"ok":true}'],
	['a text', 200, json, '"ok"'],
	['JSON that is cut', 200, json, '{"plan_id":'],
	[
		'ids and lists of another type',
		200,
		json,
		'{"plan_id":7,"plans":[1],"agents":[null],"events":{},"results":[{}],"clients":[{}]}',
	],
	['204', 204, {}, ''],
	['a page', 200, { 'content-type': 'text/html' }, '<h1>Welcome</h1>'],
	['404 of another kind', 404, json, '{"code":"route_not_found"}'],
]

const plan = { query: 'q', steps: [{ step_id: 's', action: 'a', agent_type: 'scripted' }] }
const p = { plan_id: 'p' }
const calls: Readonly<Record<string, (planstream: Planstream) => Promise<unknown>>> = {
	'plans.create': ({ plans }) => plans.create(plan),
	'plans.run': ({ plans }) => plans.run(plan),
	'plans.pause': ({ plans }) => plans.pause(p),
	'plans.delete': ({ plans }) => plans.delete(p),
	'plans.get': ({ plans }) => plans.get(p),
	'plans.result': ({ plans }) => plans.result(p),
	'plans.list': ({ plans }) => plans.list(),
	'plans.history': ({ plans }) => plans.history(p),
	'plans.subscribers': ({ plans }) => plans.subscribers(p),
	'plans.clear': ({ plans }) => plans.clear(p),
	'steps.skip': ({ steps }) => steps.skip({ ...p, step_id: 's' }),
	'steps.result': ({ steps }) => steps.result({ ...p, step_id: 's' }),
	'reviews.list': ({ reviews }) => reviews.list(p),
	'reviews.answer': ({ reviews }) => reviews.answer({ ...p, review_id: 'r', decision: 'approve' }),
	'events.publish': ({ events }) => events.publish({ ...p, events: [] }),
	'clients.list': ({ clients }) => clients.list(),
	'admin.verify': ({ admin }) => admin.verify(p),
	'agents.list': ({ agents }) => agents.list(),
	'a publisher': async (planstream) => {
		const publisher = planstream.publisher('p')
		await publisher.planStarted('q', 1)
		await publisher.flush()
	},
	'plans.events': ({ plans }) => plans.events(p).next(),
	'plans.watch': ({ plans }) => plans.watch('p').next(),
	'plans.changes': ({ plans }) => plans.changes().next(),
}

/** Awaits the error of a call, which must be one of the client's that names the address. */
async function refusal(outcome: Promise<unknown>, url: string): Promise<string> {
	const error: unknown = await outcome.then(
		(value) => new Error(`answered ${JSON.stringify(value)}`),
		(thrown: unknown) => thrown,
	)
	expect(error).toBeInstanceOf(PlanstreamError)
	const { message, code } = error as PlanstreamError
	expect(message).toContain(new URL(url).host)
	expect(message.length).toBeLessThan(240)
	return code
}

describe('a server that is no Planstream', () => {
	it.each(foreignAnswers)('is named by the error of every call when it answers %s', async (_, status, headers, body) => {
		await using foreign = await startForeign((__, response) => response.writeHead(status, headers).end(body))
		for (const transport of ['sse', 'poll'] as const) {
			await using planstream = createPlanstreamClient({ url: foreign.url, transport })
			for (const [name, call] of Object.entries(calls)) {
				expect([name, await refusal(call(planstream), foreign.url)]).toEqual([name, 'not_found'])
			}
		}
	})

	const items = ['null', '7', '[]', '{"ok":true}', '{"event_type":"step_started","seq":1}', '{"frame":"ready"}', 'text']

	it.each(items)('is named by the error of a stream that brings %s, at once and after events', async (item) => {
		const first = `data: ${JSON.stringify({ frame: 'ready', plan_id: 'p', cursor: '0', from_seq: 1, reset: null, state: null })}\n\n`
		for (const begin of ['', first]) {
			await using foreign = await startForeign((_, response) => {
				response.writeHead(200, { 'content-type': 'text/event-stream' }).write(`${begin}data: ${item}\n\n`)
			})
			for (const transport of ['sse', 'poll'] as const) {
				await using planstream = createPlanstreamClient({ url: foreign.url, transport })
				expect(await refusal(planstream.plans.events(p).next(), foreign.url)).toBe('not_found')
				expect(await refusal(planstream.plans.watch('p').next(), foreign.url)).toBe('not_found')
			}
		}
	})

	it('is named when the data of an event are of another kind', async () => {
		const event = { seq: 1, cursor: 'c', event_id: 'e', plan_id: 'p', timestamp: 't', event_type: 'plan_created', data: {} }
		await using foreign = await startForeign((_, response) => {
			response.writeHead(200, { 'content-type': 'text/event-stream' }).write(`data: ${JSON.stringify(event)}\n\n`)
		})
		await using planstream = createPlanstreamClient({ url: foreign.url, transport: 'sse' })
		expect(await refusal(planstream.plans.watch('p').next(), foreign.url)).toBe('not_found')
	})

	const messages = ['text', Buffer.from('bytes'), 'echo', '{"id":1,"result":null}', '{"id":1,"result":{"type":"data","data":7}}']

	it.each(messages)('is named by the error of a WebSocket that brings %s', async (message) => {
		await using foreign = await startForeign((_, response) => response.writeHead(404).end())
		foreign.sockets.on('connection', (socket) => {
			socket.on('message', (data) => socket.send(message === 'echo' ? data.toString() : message))
		})
		await using planstream = createPlanstreamClient({ url: foreign.url, transport: 'websocket', WebSocket })
		expect(await refusal(planstream.plans.events(p).next(), foreign.url)).toBe('not_found')
		expect(await refusal(planstream.plans.changes().next(), foreign.url)).toBe('not_found')
	})

	it('leads from the WebSocket to server-sent events when only the WebSocket is of somebody else', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url })
		await planstream.events.publish({ ...p, events: [{ event_type: 'plan_started', data: { query: 'q', total_steps: 1 } }] })
		await using foreign = await startForeign((request, response) => {
			void fetch(server.url + request.url, { headers: { accept: 'text/event-stream' } }).then(
				async ({ body }) => {
					response.writeHead(200, { 'content-type': 'text/event-stream' })
					for await (const chunk of body ?? []) response.write(chunk)
				},
				() => {},
			)
		})
		foreign.sockets.on('connection', (socket) => socket.on('message', () => socket.send('hello')))
		await using behind = createPlanstreamClient({ url: foreign.url, WebSocket })
		expect((await behind.plans.events(p).next()).value).toMatchObject({ event_type: 'plan_started' })
		expect(behind.connection.transport).toBe('sse')
	})

	it('is given up when its answer or its event is too large', async () => {
		const piece = Buffer.alloc(1024 * 1024, 'x')
		let sent = 0
		await using foreign = await startForeign((request, response) => {
			const isStream = request.headers.accept === 'text/event-stream'
			response.writeHead(200, { 'content-type': isStream ? 'text/event-stream' : 'application/json' })
			response.write(isStream ? 'data: ' : '"')
			const pour = (): void => {
				while (!response.destroyed && response.write(piece)) sent++
			}
			response.on('drain', pour)
			pour()
		})
		await using planstream = createPlanstreamClient({ url: foreign.url, transport: 'sse' })
		expect(await refusal(planstream.plans.list(), foreign.url)).toBe('too_large')
		expect(await refusal(planstream.plans.events(p).next(), foreign.url)).toBe('too_large')
		expect(sent).toBeLessThan(200)
	})
})
