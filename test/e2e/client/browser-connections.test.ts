import { createPlanstreamClient } from '@planstream/client'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { startTestServer } from '../../support/servers/test-server.js'

/** The locks of a browser, as far as they are used: each is held by one, and nobody waits. */
class PageLocks {
	readonly held = new Set<string>()

	async request(name: string, _: unknown, run: (lock: object | null) => Promise<void> | undefined): Promise<void> {
		if (this.held.has(name)) return run(null)
		this.held.add(name)
		try {
			await run({})
		} finally {
			this.held.delete(name)
		}
	}
}

/** Makes this process look like a page to clients that are made from now on. */
function becomePage(locks: PageLocks | undefined): void {
	vi.stubGlobal('document', {})
	vi.stubGlobal('navigator', { locks })
	onTestFinished(() => void vi.unstubAllGlobals())
}

/** Follows plans by clients of their own, as pages do, each to its end. */
async function followAll(url: string, plans: readonly string[]) {
	await using producer = createPlanstreamClient({ url })
	const seen: Record<string, number[]> = {}
	const follow = async (plan_id: string) => {
		const list: number[] = []
		seen[plan_id] = list
		await using planstream = createPlanstreamClient({ url, transport: 'sse' })
		for await (const { seq } of planstream.plans.events({ plan_id })) list.push(seq)
	}
	const started = { event_type: 'plan_started', data: { query: 'q', total_steps: 1 } } as const
	for (const plan_id of plans) await producer.events.publish({ plan_id, events: [started] })
	const following = Promise.all(plans.map(follow))
	await expect.poll(() => Object.values(seen).filter(({ length }) => length > 0)).toHaveLength(plans.length)
	return {
		seen,
		end: async (plan_id: string) => {
			await using other = createPlanstreamClient({ url })
			await other.events.publish({ plan_id, events: [{ event_type: 'plan_completed', data: {} }] })
		},
		following,
	}
}

const SEVEN = ['a', 'b', 'c', 'd', 'e', 'f', 'g']

describe('pages of one browser over SSE', { timeout: 20_000 }, () => {
	it('keep four streams open together, poll for the rest, and replace a stream that ends', async () => {
		await using server = await startTestServer()
		const locks = new PageLocks()
		becomePage(locks)
		const { seen, end, following } = await followAll(server.url, SEVEN)
		expect(locks.held.size).toBe(4)
		await expect.poll(() => server.report().connections, { timeout: 5_000 }).toBe(4)
		for (const plan_id of SEVEN) await end(plan_id)
		await following
		expect(seen).toEqual(Object.fromEntries(SEVEN.map((plan_id) => [plan_id, [1, 2]])))
		await expect.poll(() => locks.held.size).toBe(0)
		await expect.poll(() => server.report()).toMatchObject({ connections: 0, subscriptions: 0, watchers: 0 })
	})

	it('keep no stream open when they cannot coordinate', async () => {
		await using server = await startTestServer()
		becomePage(undefined)
		const { seen, end, following } = await followAll(server.url, SEVEN)
		await expect.poll(() => server.report().connections, { timeout: 5_000 }).toBe(0)
		for (const plan_id of SEVEN) await end(plan_id)
		await following
		expect(seen).toEqual(Object.fromEntries(SEVEN.map((plan_id) => [plan_id, [1, 2]])))
	})
})
