import { createPlanstreamClient, type Planstream } from '@planstream/client'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { CONNECTION_LIMITS } from '../../../server/src/connections/connections.js'
import { blocksIn } from '../../docs/documents.js'
import { NGINX_NOTE, type Nginx, nginxIsMissing, startNginx } from '../../support/servers/nginx.js'
import { startSilentServer } from '../../support/servers/silent-server.js'
import { StreamServer } from '../../support/servers/stream-server.js'
import { EVENT_READERS } from '../../support/streams/stream-readers.js'

const STARTED = { event_type: 'plan_started', data: { query: 'Which?', total_steps: 1 } }
const OUTPUT = { event_type: 'step_output', step_id: 's', data: { channel: 'text', index: 0, delta: 'x' } }
const COMPLETED = { event_type: 'plan_completed', data: {} }
/** Milliseconds after which nginx closes what says nothing, when nobody sets `proxy_read_timeout`. */
const DEFAULT_READ_TIMEOUT_MS = 60_000

/** What the documentation tells operators to write. */
const SITE = blocksIn('nginx')
	.map(({ text }) => text)
	.join('\n')

const clientOf = (nginx: Nginx, transport: 'websocket' | 'sse'): Planstream =>
	createPlanstreamClient({ url: nginx.url, transport, WebSocket, backoff: { initialMs: 20, maxMs: 200 } })

/** The numbers of the next events of a plan. */
async function take(events: AsyncIterator<{ readonly seq: number }>, count: number): Promise<number[]> {
	const seqs: number[] = []
	while (seqs.length < count) {
		const { value, done } = await events.next()
		if (done === true) break
		seqs.push((value as { seq: number }).seq)
	}
	return seqs
}

describe.skipIf(nginxIsMissing)(`nginx, configured as documented${nginxIsMissing ? `. ${NGINX_NOTE}` : ''}`, () => {
	it.each(EVENT_READERS)('passes a plan on as it is published by %s', async (_name, read) => {
		await using server = await StreamServer.start()
		await using nginx = await startNginx({ site: SITE, upstreamPort: server.port })
		await server.publish('p', [STARTED])
		const items = read(nginx.url, { plan_id: 'p' })
		const texts: string[] = []
		for await (const { item, text } of items) {
			if (!('event_type' in item)) continue
			texts.push(text)
			if (texts.length < 3) await server.publish('p', texts.length === 1 ? [OUTPUT] : [COMPLETED])
		}
		expect(texts).toEqual(await server.texts('p'))
	})

	it('keeps idle streams open while it gives up others', async () => {
		await using server = await StreamServer.start({ limits: { heartbeatMs: 100, pingIntervalMs: 100 } })
		await using silent = await startSilentServer()
		const location = `location /silent { proxy_pass http://127.0.0.1:${silent.port}; }`
		const impatient = { http: 'proxy_read_timeout 1s;', server: location }
		await using nginx = await startNginx({ site: SITE, upstreamPort: server.port, ...impatient })
		await server.publish('p', [STARTED])
		await using webSocket = clientOf(nginx, 'websocket')
		await using sse = clientOf(nginx, 'sse')
		const streams = [webSocket, sse].map((client) => client.plans.events({ plan_id: 'p' }))
		for (const events of streams) expect(await take(events, 1)).toEqual([1])
		const ids = server.report().map(({ connection_id }) => connection_id)
		expect(ids).toHaveLength(2)
		for (let round = 0; round < 2; round++) {
			const answer = await fetch(`${nginx.url}/silent`)
			await expect(answer.text()).rejects.toThrow()
		}
		expect(server.report().map(({ connection_id }) => connection_id)).toEqual(ids)
		await server.publish('p', [COMPLETED])
		for (const events of streams) expect(await take(events, 2)).toEqual([2])
	})

	it('lets streams resume when it is reloaded', async () => {
		await using server = await StreamServer.start()
		await using nginx = await startNginx({ site: SITE, upstreamPort: server.port })
		await server.publish('p', [STARTED])
		await using webSocket = clientOf(nginx, 'websocket')
		await using sse = clientOf(nginx, 'sse')
		const streams = [webSocket, sse].map((client) => client.plans.events({ plan_id: 'p' }))
		for (const events of streams) expect(await take(events, 1)).toEqual([1])
		const before = new Set(server.report().map(({ connection_id }) => connection_id))
		await nginx.reload()
		const rest = streams.map((events) => take(events, 10))
		await expect
			.poll(() => server.report().filter(({ connection_id }) => !before.has(connection_id)).length, { timeout: 10_000 })
			.toBe(2)
		await server.publish('p', [OUTPUT, COMPLETED])
		expect(await Promise.all(rest)).toEqual([
			[2, 3],
			[2, 3],
		])
	})
})

it('receives every sign of life twice within its default timeout', () => {
	const { heartbeatMs, pingIntervalMs } = CONNECTION_LIMITS
	expect(2 * Math.max(heartbeatMs, pingIntervalMs)).toBeLessThanOrEqual(DEFAULT_READ_TIMEOUT_MS)
})
