import { expect, it } from 'vitest'
import { createLogger } from '../../../server/src/ops/logger.js'
import type { RunningServer } from '../../../server/src/server.js'
import { httpSurface } from '../../support/fuzz/http-surface.js'
import { seeded } from '../../support/fuzz/mutate.js'
import { tcpSurface } from '../../support/fuzz/tcp-surface.js'
import { webSocketSurface } from '../../support/fuzz/websocket-surface.js'
import { post } from '../../support/http-request.js'
import { startTestServer } from '../../support/servers/test-server.js'
import { EVENT_READERS } from '../../support/streams/stream-readers.js'

const SCALE = Number(process.env.PLANSTREAM_TEST_SCALE ?? 1)
const SEED = Number(process.env.PLANSTREAM_TEST_SEED ?? 30)
const MUTATIONS = Math.ceil(10_000 * SCALE)
const TIMEOUT_MS = 120_000 * Math.max(1, SCALE)
const WORKERS = 8
/** Mutations about the same plans. */
const AGE = 500
/** Mutations between two events of the plan that nobody disturbs. */
const PACE = 100

/** Those that are cheap to ask stand here more than once. */
const SURFACES = [
	...[['REST', httpSurface('rest')] as const, ['REST', httpSurface('rest')] as const],
	...[['tRPC over HTTP', httpSurface('trpc')] as const, ['tRPC in batches', httpSurface('batch')] as const],
	...[['plain SSE', httpSurface('sse')] as const, ['tRPC over SSE', httpSurface('trpc-sse')] as const],
	...[['tRPC over WebSocket', webSocketSurface('trpc')] as const, ['tRPC over WebSocket', webSocketSurface('trpc')] as const],
	...[['plain WebSocket', webSocketSurface('plain')] as const, ['plain WebSocket', webSocketSurface('plain')] as const],
	['raw bytes', tcpSurface] as const,
]

/** The numbers one reader is given of the plan that nobody disturbs. */
async function follow(server: RunningServer, read: (typeof EVENT_READERS)[number][1]): Promise<number[]> {
	const seqs: number[] = []
	for await (const { item } of read(server.url, { plan_id: 'quiet' })) if ('seq' in item) seqs.push(item.seq)
	return seqs
}

async function publish(server: RunningServer, event: object): Promise<void> {
	const { status } = await post(server, '/api/v1/streaming/plans/quiet/events', { events: [event] })
	expect(status).toBe(200)
}

/** Says every so-manieth of the changed things; what is wrong with an answer is told by the number that makes it again. */
async function mutate(server: RunningServer, first: number, faults: string[]): Promise<void> {
	const surfaces = await Promise.all(SURFACES.map(async ([name, open]) => ({ name, surface: await open(server.url) })))
	for (let number = first; number < MUTATIONS && faults.length < 20; number += WORKERS) {
		const random = seeded(SEED * 1_000_003 + number)
		const at = surfaces[Math.floor(random() * surfaces.length)]
		const fault = await at?.surface.probe(random, Math.floor(number / AGE))
		if (typeof fault === 'string') faults.push(`mutation ${number} of seed ${SEED} by ${at?.name}: ${fault}`)
		if (number % PACE === 0) await publish(server, { event_type: 'error', data: { code: 'x', message: String(number) } })
	}
	await Promise.all(surfaces.map(({ surface }) => surface[Symbol.asyncDispose]()))
}

it(`${MUTATIONS} changed frames, bodies, headers and bytes (seed ${SEED}) get typed answers`, {
	timeout: TIMEOUT_MS,
}, async () => {
	const faults: string[] = []
	const error = (...told: unknown[]): void => void faults.push(`the server logged ${JSON.stringify(told)}`)
	await using server = await startTestServer({ store: 'sqlite', logger: Object.assign(createLogger('silent'), { error }) })
	const quiet = EVENT_READERS.map(([, read]) => follow(server, read))
	await Promise.all(Array.from({ length: WORKERS }, (_, first) => mutate(server, first, faults)))
	await publish(server, { event_type: 'plan_completed', data: {} })
	const expected = Array.from({ length: Math.ceil(MUTATIONS / PACE) + 1 }, (_, index) => index + 1)
	expect(faults).toEqual([])
	for (const seqs of await Promise.all(quiet)) expect(seqs).toEqual(expected)
	await expect.poll(() => server.report()).toMatchObject({ connections: 0, subscriptions: 0, watchers: 0 })
})
