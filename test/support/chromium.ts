import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { chromium, type Page } from 'playwright-core'
import { build } from 'vite'

const CHROMIUM = '/usr/bin/chromium'
const PAGE = path.resolve(import.meta.dirname, 'browser-page.ts')

/** Where there is none, tests of it are left out; in CI they fail. */
export const chromiumIsMissing = !existsSync(CHROMIUM) && process.env.CI === undefined
export const CHROMIUM_NOTE = `There is no ${CHROMIUM}, so nothing is known of browsers; install Debian's package chromium.`

const FLAGS = [
	'--headless',
	'--no-sandbox',
	'--disable-gpu',
	'--disable-quic',
	'--no-first-run',
	'--disable-background-networking',
	'--disable-component-update',
	'--disable-sync',
]

/** A page of another origin than any server of a test, with `window.follow` in it. */
export interface OpenPage extends AsyncDisposable {
	readonly page: Page
}

/**
 * Opens Chromium on a page whose script is bundled as a user's would be.
 *
 * @param entry - the script
 */
export async function openPage(entry = PAGE): Promise<OpenPage> {
	const script = await bundle(entry)
	const server = createServer((request, response) => {
		const isScript = request.url === '/page.js'
		response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
		response.end(isScript ? script : '<!doctype html><script type="module" src="/page.js"></script>')
	})
	await once(server.listen(0, '127.0.0.1'), 'listening')
	const profile = await mkdtemp(path.join(tmpdir(), 'planstream-chromium-'))
	const browser = await chromium.launchPersistentContext(profile, { executablePath: CHROMIUM, args: FLAGS })
	const page = await browser.newPage()
	await page.goto(`http://localhost:${(server.address() as AddressInfo).port}/`)
	await page.waitForFunction(() => document.readyState === 'complete')
	const dispose = async () => {
		await browser.close()
		server.close()
		await rm(profile, { recursive: true, force: true })
	}
	return { page, [Symbol.asyncDispose]: dispose }
}

async function bundle(entry: string): Promise<string> {
	const lib = { entry, formats: ['es' as const], fileName: 'page' }
	const built = await build({ configFile: false, logLevel: 'error', build: { lib, write: false } })
	const [first] = Array.isArray(built) ? built : [built]
	const [chunk] = first !== undefined && 'output' in first ? first.output : []
	if (chunk === undefined || chunk.type !== 'chunk') throw new Error('The bundle of the page is not one chunk.')
	return chunk.code
}
