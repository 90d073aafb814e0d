import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { readDocument } from './documents.js'

/** One thing that a page tells its reader to do, or to see. */
export type Part =
	| { readonly kind: 'file'; readonly name: string; readonly text: string }
	| { readonly kind: 'run' | 'printed' | 'shown' | 'press' | 'stop'; readonly text: string }

const CAPTION_OF_FILE = /`([\w./-]+\.\w+)`:$/
const INSTALL = /^npm install (.+)$/gm
/** A line of a program that goes on running. */
const LISTENS = /(?:listening on|Local:).*(https?:\S+)/

/**
 * Reads a page as its reader does. A block is a file when the sentence before it ends with a file name and a colon, output when it
 * ends with "prints:", and the content of the browser's page when it ends with "shows:". Blocks of `sh` are run. "Press **Name**"
 * and "Ctrl-C" are done where they stand.
 */
export function readParts(document: string): readonly Part[] {
	const parts: Part[] = []
	let caption = ''
	let block: { readonly language: string; readonly lines: string[] } | null = null
	for (const line of readDocument(document).split('\n')) {
		const [fence, language = ''] = /^```(\w*)/.exec(line) ?? []
		if (block !== null) {
			if (fence === undefined) block.lines.push(line)
			else {
				const part = toPart(block.language, caption, `${block.lines.join('\n')}\n`)
				if (part !== null) parts.push(part)
				caption = ''
				block = null
			}
		} else if (fence !== undefined) block = { language, lines: [] }
		else if (line !== '') {
			caption = line
			for (const [said, button] of line.matchAll(/Press \*\*(.+?)\*\*|Ctrl-C/g))
				parts.push(button === undefined ? { kind: 'stop', text: said } : { kind: 'press', text: button })
		}
	}
	return parts
}

function toPart(language: string, caption: string, text: string): Part | null {
	const [, name] = CAPTION_OF_FILE.exec(caption) ?? []
	if (name !== undefined) return { kind: 'file', name, text }
	if (language === 'sh') return { kind: 'run', text }
	if (language === 'text' && caption.endsWith('prints:')) return { kind: 'printed', text }
	if (language === 'text' && caption.endsWith('shows:')) return { kind: 'shown', text }
	return null
}

/** Lists the packages that the lines `npm install` of these parts name. */
export function listPackages(parts: readonly Part[]): readonly string[] {
	const commands = parts.filter(({ kind }) => kind === 'run').map(({ text }) => text)
	const words = commands.flatMap((text) => [...text.matchAll(INSTALL)].flatMap(([, names = '']) => names.split(' ')))
	return [...new Set(words.filter((word) => !word.startsWith('-')))]
}

/** Makes a pattern of what a page shows: `...` stands for any text. */
export function toPattern(text: string): RegExp {
	const pieces = text.trim().split('...')
	return new RegExp(`^${pieces.map((piece) => piece.trim().replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('[^]*?')}$`)
}

/** A folder in which the commands of a page are run, and the programs that go on running. */
export class PageFolder implements AsyncDisposable {
	readonly #path: string
	readonly #installed: string
	readonly #port: string
	readonly #running = new Map<ChildProcess, Promise<unknown>>()
	/** The output of the newest command. */
	printed = ''
	/** The address that the newest program listens at. */
	url = ''

	/**
	 * @param installed - a folder with all packages of all pages in its `node_modules`
	 * @param port - the port of `planstream serve`
	 */
	constructor(folder: string, installed: string, port: string) {
		this.#path = folder
		this.#port = port
		this.#installed = path.join(installed, 'node_modules')
		mkdirSync(folder, { recursive: true })
	}

	write(name: string, text: string): void {
		mkdirSync(path.dirname(path.join(this.#path, name)), { recursive: true })
		writeFileSync(path.join(this.#path, name), text)
	}

	/** Runs the lines of a block; resolves when they have ended or listen. */
	async run(text: string): Promise<void> {
		for (const [line, names = ''] of text.matchAll(INSTALL)) {
			for (const name of names.split(' ').filter((word) => !word.startsWith('-'))) this.#link(name)
			text = text.replace(line, '')
		}
		if (text.trim() === '') return
		this.printed = ''
		const env = { PATH: process.env.PATH, HOME: process.env.HOME, PORT: this.#port, NO_COLOR: '1', npm_config_offline: 'true' }
		const child = spawn('bash', ['-ec', text], { cwd: this.#path, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
		const closed = once(child, 'close')
		this.#running.set(child, closed)
		let errors = ''
		child.stderr.on('data', (chunk: Buffer) => {
			errors += chunk.toString()
		})
		const listens = new Promise<void>((resolve) => {
			child.stdout.on('data', (chunk: Buffer) => {
				this.printed += stripVTControlCharacters(chunk.toString())
				const [, url] = LISTENS.exec(this.printed) ?? []
				if (url === undefined) return
				this.url = url
				resolve()
			})
		})
		await Promise.race([closed, listens])
		if (child.exitCode === null && child.signalCode === null) return
		this.#running.delete(child)
		if (child.exitCode !== 0) throw new Error(`This failed: ${text}\n${this.printed}${errors}`)
	}

	/** Does what Ctrl-C does in each terminal. */
	async stop(): Promise<void> {
		for (const [child, closed] of this.#running) {
			if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, 'SIGINT')
			await closed
		}
		this.#running.clear()
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.stop()
	}

	/** Puts a package, its peers and its commands where `npm install` puts them; what else it needs cannot be imported from here. */
	#link(name: string): void {
		const modules = path.join(this.#path, 'node_modules')
		const target = path.join(this.#installed, name)
		const link = path.join(modules, name)
		if (existsSync(link)) return
		mkdirSync(path.dirname(link), { recursive: true })
		symlinkSync(target, link)
		const {
			bin = {},
			peerDependencies = {},
			peerDependenciesMeta = {},
		} = JSON.parse(readFileSync(path.join(target, 'package.json'), 'utf8')) as {
			readonly bin?: string | Readonly<Record<string, string>>
			readonly peerDependencies?: Readonly<Record<string, string>>
			readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>
		}
		mkdirSync(path.join(modules, '.bin'), { recursive: true })
		for (const [command, file] of Object.entries(typeof bin === 'string' ? { [path.basename(name)]: bin } : bin))
			symlinkSync(path.join(target, file), path.join(modules, '.bin', command))
		for (const peer of Object.keys(peerDependencies)) {
			if (peerDependenciesMeta[peer]?.optional !== true) this.#link(peer)
		}
	}
}
