import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { CHROMIUM_NOTE, chromiumIsMissing, openPage } from '../../support/browser/chromium.js'
import { post, sendRequest } from '../../support/http-request.js'
import { startTestServer } from '../../support/servers/test-server.js'

if (chromiumIsMissing) console.warn(CHROMIUM_NOTE)

const MEDIA_TYPES = ['image/svg+xml', 'text/html', 'application/xhtml+xml', 'text/xml', 'text/plain']

describe.skipIf(chromiumIsMissing)('a file of a step in Chromium', () => {
	it('is downloaded and runs nothing, whatever its media type is', async () => {
		await using server = await startTestServer()
		await using opened = await openPage()
		const context = opened.page.context()
		const asked: string[] = []
		context.on('request', (request) => void asked.push(request.url()))
		for (const [index, media_type] of MEDIA_TYPES.entries()) {
			const script = `new Image().src = '${server.url}/health/live?ran'`
			const text = `<svg xmlns="http://www.w3.org/2000/svg" id="n${index}"><script>${script}</script></svg>`
			const input = { updates: [{ artifact: { name: 'picture.svg', text, media_type } }], result: {} }
			const steps = [{ step_id: 'one', action: 'draw', agent_type: 'scripted', input }]
			await post(server, '/api/v1/plans', { plan_id: `p${index}`, query: 'q', steps })
			await sendRequest(server, `/api/v1/streaming/plans/p${index}/events`)
			const address = `/api/v1/plans/p${index}/artifacts/${createHash('sha256').update(text).digest('hex')}`
			const tab = await context.newPage()
			const downloaded = tab.waitForEvent('download')
			// A navigation that becomes a download is aborted.
			await expect(tab.goto(server.url + address)).rejects.toThrow()
			expect([media_type, (await downloaded).suggestedFilename()]).toEqual([media_type, 'picture.svg'])
			expect(tab.url()).toBe('about:blank')
		}
		expect(asked.filter((url) => url.includes('/artifacts/'))).toHaveLength(MEDIA_TYPES.length)
		expect(asked.filter((url) => url.includes('?ran'))).toEqual([])
	})
})
