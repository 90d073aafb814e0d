import { once } from 'node:events'
import { cpSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CHROMIUM_NOTE, chromiumIsMissing, type OpenPage, openAddress } from '../support/browser/chromium.js'
import { execute, packInto } from '../support/packages/packed-packages.js'
import { root } from './documents.js'
import { listPackages, PageFolder, readParts, toPattern } from './follow-page.js'

const PAGES = [
	'README.md',
	'docs/getting-started.md',
	'docs/client.md',
	'docs/publishing.md',
	'docs/react.md',
	'docs/library.md',
	'docs/agents.md',
	'examples/README.md',
]
const PACKED: Readonly<Record<string, string>> = {
	'@planstream/shared': 'shared',
	'@planstream/client': 'client',
	'@planstream/server': 'server',
	planstream: 'cli',
}
/** The port of the server in all pages. */
const PORT = '3000'
const NO_REGISTRY = /ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENOTCACHED/
const REGISTRY_NOTE = 'No registry answers, so the packages of the pages cannot be installed.'

let directory = ''
let registryIsMissing = false
let port = PORT
beforeAll(async () => {
	directory = await mkdtemp(path.join(tmpdir(), 'planstream-pages-'))
	const [tarballs, free] = await Promise.all([packInto(directory), findPort()])
	port = free
	const names = new Set(PAGES.flatMap((page) => listPackages(readParts(page))))
	const others = [...names].filter((name) => !(name in PACKED))
	await execute('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', ...tarballs, ...others], {
		cwd: directory,
	}).catch((error: Error) => {
		if (process.env.CI !== undefined || !NO_REGISTRY.test(error.message)) throw error
		registryIsMissing = true
	})
}, 300_000)
afterAll(() => rm(directory, { recursive: true, force: true }))

describe('a page that is followed to the letter in an empty folder', () => {
	it.for(PAGES)('does and prints what it says in %s', async (document, { skip }) => {
		skip(registryIsMissing, REGISTRY_NOTE)
		const parts = readParts(document)
		skip(chromiumIsMissing && parts.some(({ kind }) => kind === 'press'), CHROMIUM_NOTE)
		const place = path.join(directory, 'pages', document.replaceAll('/', '-'))
		if (document.startsWith('examples/')) cpSync(path.join(root, 'examples'), place, { recursive: true })
		await using folder = new PageFolder(place, directory, port)
		await using browser = new PressedPages()
		for (const part of parts) {
			const text = part.text.replaceAll(PORT, port)
			if (part.kind === 'file') folder.write(part.name, text)
			else if (part.kind === 'run') await folder.run(text)
			else if (part.kind === 'printed') expect(folder.printed.trim()).toMatch(toPattern(text))
			else if (part.kind === 'stop') await folder.stop()
			else if (part.kind === 'press') await browser.press(folder.url, part.text)
			else
				await expect.poll(() => browser.readTexts(), { timeout: 20_000 }).toContainEqual(expect.stringMatching(toPattern(text)))
		}
	})
})

/** Keeps each text of a page, with its line breaks. */
const RECORD = `
	globalThis.shown = [document.body.innerText]
	new MutationObserver(() => shown.push(document.body.innerText))
		.observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true })`

/** A browser that remembers each text that its newest page has shown. */
class PressedPages implements AsyncDisposable {
	#opened: OpenPage | null = null

	async press(url: string, name: string): Promise<void> {
		await this[Symbol.asyncDispose]()
		const opened = await openAddress(url)
		this.#opened = opened
		await opened.page.evaluate(RECORD)
		await opened.page.getByRole('button', { name }).click()
	}

	async readTexts(): Promise<readonly string[]> {
		const texts = await this.#opened?.page.evaluate<readonly string[]>('shown')
		return texts?.map((text) => text.trim()) ?? []
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#opened?.[Symbol.asyncDispose]()
		this.#opened = null
	}
}

/** Finds the port of the pages, or another one where something listens there already. */
async function findPort(): Promise<string> {
	for (const wanted of [Number(PORT), 0]) {
		const server = createServer()
		const listening = once(server, 'listening')
		server.listen(wanted, '127.0.0.1')
		try {
			await listening
		} catch {
			continue
		}
		const { port: found } = server.address() as AddressInfo
		server.close()
		await once(server, 'close')
		return String(found)
	}
	throw new Error('No port is free.')
}
