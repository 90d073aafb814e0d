import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { openLog } from '../../../server/src/log/open.js'
import { AttackedServer } from '../../support/servers/attacked-server.js'
import { bearer } from '../../support/servers/keyed-server.js'

const SCALE = Number(process.env.PLANSTREAM_TEST_SCALE ?? 1)
const scaled = (count: number): number => Math.ceil(count * SCALE)

const TENANT = 'acme'
const TIME = '2026-01-01T00:00:00.000Z'
/** Plans whose labels are as long as they may be: together a page of 4 MiB. */
const LABELLED_PLANS = 400
const LABELS = Object.fromEntries(Array.from({ length: 32 }, (_, index) => [`${index}-`.padEnd(63, 'n'), 'v'.repeat(255)]))
const LISTS = 100

let server: AttackedServer
beforeAll(async () => {
	server = await AttackedServer.start(fill)
}, 120_000)
afterAll(() => server[Symbol.asyncDispose]())

async function fill(directory: string): Promise<void> {
	await using log = Object.assign(await openLog({ kind: 'sqlite', directory }), {
		[Symbol.asyncDispose]: () => log.close(),
	})
	for (let plan = 0; plan < LABELLED_PLANS; plan++) {
		const plan_id = `labelled-${plan}`
		const event = {
			event_id: 'e',
			event_type: 'plan_started',
			step_id: null,
			data: { query: 'q', total_steps: 1 },
			timestamp: TIME,
		}
		const times = { created_at: TIME, started_at: TIME, finished_at: null, updated_at: TIME }
		const summary = {
			plan_id,
			owner: 'external',
			status: 'running',
			finished: false,
			query: 'q',
			labels: LABELS,
			revision: 0,
		} as const
		const record = { event_id: 'e', text: JSON.stringify(event), sent_digest: '', transient: false }
		await log.append({ tenant: TENANT, plan_id }, [record], { summary: { ...summary, progress: 0, ...times } })
	}
}

async function openTrpcSocket(): Promise<WebSocket & Disposable> {
	const socket = new WebSocket(`${server.url.replace('http', 'ws')}/trpc`, { headers: bearer(server.keys.attacker) })
	socket.on('error', () => undefined)
	await once(socket, 'open')
	return Object.assign(socket, { [Symbol.dispose]: () => socket.terminate() })
}

describe('A server with a heap of 1 GB keeps its memory and another tenant its events', { timeout: 240_000 }, () => {
	it(`while ${LISTS} live lists of 4 MiB each are open on two WebSockets, which get every page`, async () => {
		await server.withstand(async () => {
			using one = await openTrpcSocket()
			using two = await openTrpcSocket()
			const pages = new Map([one, two].map((socket) => [socket, new Set<string | undefined>()]))
			for (const [socket, ids] of pages) {
				const page = /^\{"id":(\d+),"result":\{"type":"data"/
				socket.on('message', (data: Buffer) => ids.add(page.exec(data.toString('latin1', 0, 60))?.[1]))
				const params = { path: 'plans.changes', input: { limit: 1000 } }
				socket.send(JSON.stringify(Array.from({ length: scaled(LISTS) }, (_, id) => ({ id, method: 'subscription', params }))))
			}
			const received = () => [...pages.values()].map((ids) => ids.size)
			// Each has a `started` message, which is none of these, besides its page.
			await expect.poll(received, { timeout: 180_000 }).toEqual([scaled(LISTS) + 1, scaled(LISTS) + 1])
		})
	})
})
