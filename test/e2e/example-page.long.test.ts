import path from 'node:path'
import { createPlanstreamClient } from '@planstream/client'
import { expect, it } from 'vitest'
import { CHROMIUM_NOTE, chromiumIsMissing, openPage } from '../support/browser/chromium.js'
import { startTestServer } from '../support/servers/test-server.js'

const PAGE = path.resolve(import.meta.dirname, '../../examples/vite-page/index.html')

it('the page of the examples shows a running plan and the list of plans', async ({ skip }) => {
	skip(chromiumIsMissing, CHROMIUM_NOTE)
	await using server = await startTestServer()
	await using opened = await openPage(PAGE, `?plan=plan_1&server=${encodeURIComponent(server.url)}`)
	await using planstream = createPlanstreamClient({ url: server.url })
	await planstream.plans.run({
		plan_id: 'plan_1',
		query: '<b>Which?</b>',
		steps: [{ step_id: 'one', name: '<i>Look</i>', action: 'look', agent_type: 'scripted' }],
	})
	const textOf = (id: string) => opened.page.evaluate((name) => document.getElementById(name)?.textContent.trim(), id)
	await expect.poll(() => textOf('status')).toBe('completed')
	await expect.poll(() => textOf('plans')).toBe('plan_1: completed')
	expect(await textOf('query')).toBe('<b>Which?</b>')
	expect(await textOf('steps')).toBe('<i>Look</i>: completed')
})
