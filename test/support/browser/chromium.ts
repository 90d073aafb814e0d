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
const PAGE = path.resolve(import.meta.dirname, 'stream-page.ts')

/** True when Chromium is not installed; its tests are then skipped, except in CI, where they fail. */
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

/** A page of another origin than the servers of the tests, with `window.follow` in it. */
export interface OpenPage extends AsyncDisposable {
	readonly page: Page
}

/**
 * Opens Chromium on a page that is bundled as a user would bundle it.
 *
 * @param entry - a script, or a whole HTML page
 * @param query - the query string of the page's address
 */
export async function openPage(entry = PAGE, query = ''): Promise<OpenPage> {
	const files = await bundle(entry)
	const server = createServer(({ url = '/' }, response) => {
		const name = url.split('?', 1)[0]?.slice(1) ?? ''
		response.setHeader('content-type', name.endsWith('.js') ? 'text/javascript' : 'text/html')
		response.end(files.get(name === '' ? 'index.html' : name))
	})
	await once(server.listen(0, '127.0.0.1'), 'listening')
	const opened = await openAddress(`http://localhost:${(server.address() as AddressInfo).port}/${query}`)
	const dispose = async () => {
		await opened[Symbol.asyncDispose]()
		server.close()
	}
	return { page: opened.page, [Symbol.asyncDispose]: dispose }
}

/** Opens Chromium on a page that something else serves. */
export async function openAddress(url: string): Promise<OpenPage> {
	const profile = await mkdtemp(path.join(tmpdir(), 'planstream-chromium-'))
	const browser = await chromium.launchPersistentContext(profile, { executablePath: CHROMIUM, args: FLAGS })
	const page = await browser.newPage()
	await page.goto(url)
	await page.waitForFunction(() => document.readyState === 'complete')
	const dispose = async () => {
		await browser.close()
		await rm(profile, { recursive: true, force: true })
	}
	return { page, [Symbol.asyncDispose]: dispose }
}

/** The files of the page by their paths. */
async function bundle(entry: string): Promise<ReadonlyMap<string, string | Uint8Array>> {
	const isPage = entry.endsWith('.html')
	const built = await build({
		configFile: false,
		logLevel: 'error',
		root: path.dirname(entry),
		define: { 'process.env.NODE_ENV': '"development"' }, // in library mode, Vite leaves this to the user
		build: { write: false, ...(isPage ? {} : { lib: { entry, formats: ['es' as const], fileName: 'page' } }) },
	})
	const [first] = Array.isArray(built) ? built : [built]
	const output = first !== undefined && 'output' in first ? first.output : []
	const files = new Map(output.map((file) => [file.fileName, file.type === 'chunk' ? file.code : file.source]))
	if (!isPage) files.set('index.html', `<!doctype html><script type="module" src="/${output[0]?.fileName}"></script>`)
	return files
}
