import { createPlanstreamClient } from '@planstream/client'
import { EventSource } from 'eventsource'
import { describe, expect, it } from 'vitest'
import { CHROMIUM_NOTE, chromiumIsMissing, openPage } from '../../support/browser/chromium.js'
import type { Follower } from '../../support/browser/stream-page.js'
import { startFaultProxy } from '../../support/servers/fault-proxy.js'
import { ServerProcess } from '../../support/servers/server-process.js'
import { READERS, type ReadStream } from '../../support/streams/stream-readers.js'

const PLAN = 'plan_1'
const EVENTS = 40

if (chromiumIsMissing) console.warn(CHROMIUM_NOTE)

/** A follower that has been started. */
interface Following {
	/** Resolves when it has seen so many events. */
	readonly seen: (count: number) => Promise<unknown>
	/** Resolves when it will ask for nothing more, with what it saw. */
	readonly over: Promise<readonly number[]>
	/** Sends one more request to the server by the same means. */
	readonly ask: () => Promise<unknown>
}

/** Lets somebody follow a plan over a restart of its server to the end, and counts what is asked after that. */
async function followOverRestart(start: (url: string) => Promise<Following>, signal?: 'SIGKILL' | 'SIGTERM'): Promise<void> {
	await using server = await ServerProcess.start()
	await using proxy = await startFaultProxy(server.url)
	await using planstream = createPlanstreamClient({ url: server.url })
	await using publisher = planstream.publisher(PLAN)
	const publish = async (from: number, to: number) => {
		for (let at = from; at < to; at++) await publisher.stepProgress('step_1', at / EVENTS)
		await publisher.flush()
	}
	const following = await start(proxy.url)
	await publish(0, 20)
	await following.seen(20)
	await server.kill(signal)
	await server.restart()
	await publish(20, EVENTS - 1)
	await publisher.planCompleted()
	await publisher.flush()
	expect(await following.over).toEqual(Array.from({ length: EVENTS }, (_, index) => index + 1))
	const { requests } = proxy
	await following.ask()
	expect(proxy.requests).toBe(requests + 1)
}

async function followByEventSource(url: string): Promise<Following> {
	const source = new EventSource(`${url}/api/v1/streaming/plans/${PLAN}/events`)
	const seqs: number[] = []
	source.addEventListener('message', ({ data }) => seqs.push((JSON.parse(data) as { seq: number }).seq))
	const over = new Promise<readonly number[]>((resolve) => {
		source.addEventListener('error', () => {
			if (source.readyState === EventSource.CLOSED) resolve(seqs)
		})
	})
	const seen = (count: number) => expect.poll(() => seqs.length).toBeGreaterThanOrEqual(count)
	return { seen, over, ask: () => fetch(`${url}/health/live`) }
}

async function followByReader(read: ReadStream, url: string): Promise<Following> {
	const seqs: number[] = []
	const follow = async (): Promise<readonly number[]> => {
		for await (const { item } of read(url, { plan_id: PLAN })) if ('event_type' in item) seqs.push(item.seq)
		return seqs
	}
	const seen = (count: number) => expect.poll(() => seqs.length).toBeGreaterThanOrEqual(count)
	return { seen, over: follow(), ask: () => fetch(`${url}/health/live`) }
}

describe('over a restart of the server, exactly to the end of the plan,', () => {
	it('the npm package eventsource follows a plan', () => followOverRestart(followByEventSource))

	describe.each(READERS.slice(0, 2))("tRPC's own client by %s", (_name, read) => {
		it.each(['SIGKILL', 'SIGTERM'] as const)('follows a plan when the server ends by %s', (signal) =>
			followOverRestart((url) => followByReader(read, url), signal),
		)
	})

	it.for<Follower>(['EventSource', 'websocket', 'sse'])('a page in Chromium follows a plan by %s', async (follower, { skip }) => {
		skip(chromiumIsMissing, CHROMIUM_NOTE)
		await using opened = await openPage()
		const { page } = opened
		await followOverRestart(async (url) => {
			await page.evaluate(([how, at, plan]) => window.follow(how, at, plan), [follower, url, PLAN] as const)
			const seen = (count: number) => page.waitForFunction((wanted) => window.followed.seqs.length >= wanted, count)
			const isOver = page.waitForFunction(() => window.followed.over || window.followed.fault !== null, null, { timeout: 60_000 })
			const over = isOver
				.then(() => page.evaluate(() => window.followed))
				.then(({ seqs, fault }) => {
					expect(fault).toBeNull()
					return seqs
				})
			return { seen, over, ask: () => page.evaluate((at) => fetch(`${at}/health/live`).then(() => null), url) }
		})
	})
})
