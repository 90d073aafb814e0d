import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { arbitraryFaults, EVENTS, watchThrough } from '../../support/client/watch-through-faults.js'
import { startFaultProxy } from '../../support/servers/fault-proxy.js'
import { startTestServer } from '../../support/servers/test-server.js'

const COUNTED = Array.from({ length: EVENTS }, (_, index) => index + 1)
const RUNS = Math.ceil(50 * Number(process.env.PLANSTREAM_TEST_SCALE ?? 1))

describe('over a network that fails', () => {
	it.each(['websocket', 'sse', 'auto'] as const)('a client over %s receives every event once, in order', async (transport) => {
		await using server = await startTestServer()
		await using proxy = await startFaultProxy(server.url)
		const property = fc.asyncProperty(arbitraryFaults, async (faults) => {
			expect(await watchThrough(proxy, server, { ...faults, transport })).toEqual(COUNTED)
		})
		await fc.assert(property, { seed: 20, numRuns: RUNS, endOnFailure: true })
		await expect.poll(() => server.report()).toMatchObject({ subscriptions: 0, watchers: 0 })
	})

	it('a client receives every event once, in order, when its WebSockets are refused', async () => {
		await using server = await startTestServer()
		await using proxy = await startFaultProxy(server.url)
		const property = fc.asyncProperty(arbitraryFaults, async (faults) => {
			const refused = { ...faults, transport: 'auto', handshakes: 'refuse' } as const
			expect(await watchThrough(proxy, server, refused)).toEqual(COUNTED)
		})
		await fc.assert(property, { seed: 21, numRuns: RUNS, endOnFailure: true })
		await expect.poll(() => server.report()).toMatchObject({ subscriptions: 0, watchers: 0 })
	})
})
