import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { agentError } from '../agent-error.js'
import { type Corpus, readDocument } from './corpus.js'
import { CorpusIndex, INDEX_VERSION, IndexWriter } from './index-file.js'
import { decodeText, type Inventory, takeInventory } from './inventory.js'
import { pacer } from './pace.js'
import { splitPassages } from './passages.js'

/** Older indexes are deleted when a new one is built; a step that misses one builds it again. */
const KEPT_INDEXES = 8
const INDEX_NAME = /^[0-9a-f]{64}\.v\d+\.sqlite$/
const BUILDING_NAME = /^[0-9a-f]{64}\.(\d+)\.[0-9a-f-]{36}\.building$/

/** What this process is writing; any other file being built under its process id was left by a former process. */
const UNDER_WAY = new Set<string>()

/** Called after each file with the files done, all of them, and the passages so far. */
export type OnIndexed = (files: { readonly done: number; readonly total: number }, passages: number) => void

/**
 * The full-text indexes of one directory, each a file named by its inventory's digest. An index is written to a name
 * of its own and renamed when it is whole, so that steps, attempts and processes that build the same one at the same
 * time cannot harm each other: each rename puts an equal file in place.
 */
export class IndexStore {
	readonly #directory: string
	constructor(directory: string) {
		this.#directory = directory
	}

	/** The index of the inventory: the one that is there, or a new one when it is missing, unfinished or broken. */
	async build(corpus: Corpus, inventory: Inventory, signal: AbortSignal, onIndexed: OnIndexed = () => {}): Promise<CorpusIndex> {
		const ready = await this.#existing(inventory.digest)
		if (ready !== null) return ready
		await mkdir(this.#directory, { recursive: true })
		await this.#deleteLeftovers()
		const name = `${inventory.digest}.${process.pid}.${randomUUID()}.building`
		const file = path.join(this.#directory, name)
		UNDER_WAY.add(name)
		try {
			await write(file, corpus, inventory, signal, onIndexed)
			await rename(file, this.#fileOf(inventory.digest))
		} finally {
			UNDER_WAY.delete(name)
			await rm(file, { force: true })
		}
		await this.#deleteOldest()
		const built = await this.#existing(inventory.digest)
		if (built !== null) return built
		throw new Error(
			`The index ${inventory.digest} vanished after it was built; does something else delete files in its directory?`,
		)
	}

	/**
	 * The index of this digest; where it was lost (another machine, a cleared directory) it is built from the corpus.
	 *
	 * @throws AgentError `corpus_changed` when it was lost and the corpus is no longer what it was
	 */
	async open(corpus: Corpus, digest: string, signal: AbortSignal): Promise<CorpusIndex> {
		const ready = await this.#existing(digest)
		if (ready !== null) return ready
		const inventory = await takeInventory(corpus, signal)
		if (inventory.digest !== digest) {
			throw agentError(
				'corpus_changed',
				'The index is gone and the corpus has changed since. Retry the inventory step with its dependents.',
			)
		}
		return this.build(corpus, inventory, signal)
	}

	#fileOf(digest: string): string {
		return path.join(this.#directory, `${digest}.v${INDEX_VERSION}.sqlite`)
	}

	async #existing(digest: string): Promise<CorpusIndex | null> {
		const file = this.#fileOf(digest)
		const size = await stat(file).then(
			(found) => found.size,
			() => 0,
		)
		if (size === 0) return null
		try {
			return CorpusIndex.open(file, digest)
		} catch {
			// Whatever SQLite has against the file, the answer is the same: it is built anew and replaced.
			return null
		}
	}

	async #deleteLeftovers(): Promise<void> {
		for (const name of await readdir(this.#directory)) {
			const pid = Number(BUILDING_NAME.exec(name)?.[1] ?? Number.NaN)
			if (Number.isNaN(pid) || UNDER_WAY.has(name)) continue
			if (pid === process.pid || !isAlive(pid)) await rm(path.join(this.#directory, name), { force: true })
		}
	}

	async #deleteOldest(): Promise<void> {
		const names = (await readdir(this.#directory)).filter((name) => INDEX_NAME.test(name))
		if (names.length <= KEPT_INDEXES) return
		const aged = await Promise.all(
			names.map(async (name) => {
				const file = path.join(this.#directory, name)
				const found = await stat(file).catch(() => null)
				return { file, written: found?.mtimeMs ?? 0 }
			}),
		)
		const oldest = aged.sort((one, other) => other.written - one.written).slice(KEPT_INDEXES)
		await Promise.all(oldest.map(({ file }) => rm(file, { force: true })))
	}
}

async function write(
	file: string,
	corpus: Corpus,
	inventory: Inventory,
	signal: AbortSignal,
	onIndexed: OnIndexed,
): Promise<void> {
	const pace = pacer(signal)
	const total = inventory.files.length
	let passages = 0
	{
		using writer = new IndexWriter(file)
		for (const [done, listed] of inventory.files.entries()) {
			signal.throwIfAborted()
			const document = await readDocument(corpus, listed.path, signal)
			if (document.sha256 !== listed.sha256) {
				throw agentError(
					'corpus_changed',
					`${listed.path} changed since the inventory. Retry the inventory step with its dependents.`,
				)
			}
			writer.addFile(listed.path, listed.sha256)
			for (const passage of splitPassages(decodeText(document.bytes) ?? '')) {
				writer.addPassage(passage)
				passages++
				await pace()
			}
			onIndexed({ done: done + 1, total }, passages)
		}
		writer.finish(inventory.digest)
	}
	await flush(file)
}

async function flush(file: string): Promise<void> {
	const handle = await open(file, 'r+')
	try {
		await handle.sync()
	} finally {
		await handle.close()
	}
}

function isAlive(pid: number): boolean {
	try {
		process.kill(pid, 0)
		return true
	} catch (error) {
		return error instanceof Error && 'code' in error && error.code === 'EPERM'
	}
}
