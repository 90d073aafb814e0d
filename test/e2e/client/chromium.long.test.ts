import path from 'node:path'
import { createPlanstreamClient } from '@planstream/client'
import { describe, expect, it } from 'vitest'
import { CHROMIUM_NOTE, chromiumIsMissing, openPage } from '../../support/browser/chromium.js'
import { startFaultProxy } from '../../support/servers/fault-proxy.js'
import { startTestServer } from '../../support/servers/test-server.js'

const REACT_PAGE = path.resolve(import.meta.dirname, '../../support/browser/react-page.tsx')
const STARTED = { event_type: 'plan_started', data: { query: 'q', total_steps: 1 } } as const
const COMPLETED = { event_type: 'plan_completed', data: {} } as const
const OUTPUTS = 4000
const BATCH = 250
const TABS = 9

if (chromiumIsMissing) console.warn(CHROMIUM_NOTE)

describe.skipIf(chromiumIsMissing)('Chromium', () => {
	it('draws a plan of thousands of events in fifty components once a frame, from one subscription', async () => {
		await using server = await startTestServer()
		await using producer = createPlanstreamClient({ url: server.url })
		await using opened = await openPage(REACT_PAGE)
		const { page } = opened
		await producer.events.publish({ plan_id: 'p', events: [STARTED] })
		await page.evaluate(([url]) => window.show(url, 'p'), [server.url] as const)
		await page.waitForFunction(() => document.body.textContent?.includes('running 1counted 1'))
		expect((await producer.plans.subscribers({ plan_id: 'p' })).subscriber_count).toBe(1)
		for (let from = 0; from < OUTPUTS; from += BATCH) {
			const events = Array.from({ length: BATCH }, (_, at) => {
				const data = { channel: 'log', index: from + at, delta: 'x' } as const
				return { event_type: 'step_output', step_id: 's', data } as const
			})
			await producer.events.publish({ plan_id: 'p', events })
		}
		await producer.events.publish({ plan_id: 'p', events: [COMPLETED] })
		const last = OUTPUTS + 2
		const text = `completed ${last}counted ${last}`.repeat(25)
		await page.waitForFunction((wanted) => document.body.textContent?.includes(wanted), text)
		const { renderings } = await page.evaluate(() => ({ renderings: window.renderings }))
		expect(renderings / 50).toBeLessThan(OUTPUTS / 4)
		await page.evaluate(() => window.leave())
		await expect.poll(() => server.report(), { timeout: 10_000 }).toMatchObject({ connections: 0, subscriptions: 0 })
	})

	it('tries a WebSocket once when it does not get through, however often the page is loaded', async () => {
		await using server = await startTestServer()
		await using proxy = await startFaultProxy(server.url)
		proxy.webSockets = 'refuse'
		await using producer = createPlanstreamClient({ url: server.url })
		await producer.events.publish({ plan_id: 'p', events: [STARTED, COMPLETED] })
		await using opened = await openPage()
		const { page } = opened
		let handshakes = 0
		page.on('websocket', () => handshakes++)
		for (let loads = 0; loads < 3; loads++) {
			await page.reload()
			await page.waitForFunction(() => 'follow' in window)
			await page.evaluate(([url]) => window.follow('auto', url, 'p'), [proxy.url] as const)
			await page.waitForFunction(() => window.followed.over || window.followed.fault !== null)
			expect(await page.evaluate(() => window.followed)).toEqual({ seqs: [1, 2], over: true, fault: null })
		}
		expect(handshakes).toBe(1)
	})

	it('follows plans in nine tabs without a WebSocket, and leaves connections for other requests', async () => {
		await using server = await startTestServer()
		await using producer = createPlanstreamClient({ url: server.url })
		await using opened = await openPage()
		const tabs = [opened.page]
		while (tabs.length < TABS) {
			const tab = await opened.page.context().newPage()
			await tab.goto(opened.page.url())
			await tab.waitForFunction(() => 'follow' in window)
			tabs.push(tab)
		}
		for (const [at, tab] of tabs.entries()) {
			await producer.events.publish({ plan_id: `p${at}`, events: [STARTED] })
			await tab.evaluate(([url, plan_id]) => window.follow('sse', url, plan_id), [server.url, `p${at}`] as const)
		}
		for (const tab of tabs) await tab.waitForFunction(() => window.followed.seqs.length === 1)
		for (const tab of tabs) {
			const answered = await tab.evaluate((url) => fetch(`${url}/api/v1/plans`).then(({ status }) => status), server.url)
			expect(answered).toBe(200)
		}
		for (const at of tabs.keys()) await producer.events.publish({ plan_id: `p${at}`, events: [COMPLETED] })
		for (const tab of tabs) {
			await tab.waitForFunction(() => window.followed.over || window.followed.fault !== null)
			expect(await tab.evaluate(() => window.followed)).toEqual({ seqs: [1, 2], over: true, fault: null })
		}
		await expect.poll(() => server.report(), { timeout: 10_000 }).toMatchObject({ connections: 0, subscriptions: 0 })
	})
})
