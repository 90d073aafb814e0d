import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import * as z from 'zod'
import { openDatabase, type SqlDatabase, type SqlStatement } from '../../log/sqlite/driver.js'
import { isAlive } from '../../ops/processes.js'
import type { Agent } from '../../plans/agent.js'
import { agentError, defineAgent } from '../define-agent.js'
import { type Corpus, type CorpusPolicy, createPacer, createProgress, openCorpus, readDocument } from './corpus.js'
import { decodeText, digestFiles, type Inventory, takeInventory } from './inventory.js'
import { type Passage, splitPassages } from './passages.js'
import { corpusToIndex, getResult, indexResult } from './results.js'
import { matchAny, quoteTerm, splitNames } from './search.js'

/** Incremented when the tables change; an index of another version is rebuilt. */
const INDEX_VERSION = 2

/** Words are folded in case and accents by unicode61 and stemmed by porter; `words` keeps no second copy of the text. */
const SCHEMA = `
	CREATE TABLE about (digest TEXT NOT NULL, passages INTEGER NOT NULL) STRICT;
	CREATE TABLE files (file_id INTEGER PRIMARY KEY, path TEXT NOT NULL, sha256 TEXT NOT NULL) STRICT;
	CREATE TABLE passages (passage_id INTEGER PRIMARY KEY, file_id INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
		heading TEXT NOT NULL, code INTEGER NOT NULL) STRICT;
	CREATE VIRTUAL TABLE words USING fts5 (heading, text, content='', tokenize='porter unicode61');
`

/** A passage found in the index, with its position in the file and its score. */
export interface FoundPassage {
	readonly path: string
	readonly sha256: string
	readonly start: number
	readonly end: number
	readonly heading: string
	readonly code: boolean
	/** FTS5's bm25, negated: higher is better. */
	readonly score: number
}

interface AboutRow {
	readonly digest: string
	readonly passages: number
}

interface PassageRow extends Pick<FoundPassage, 'path' | 'sha256' | 'heading' | 'score'> {
	readonly first: number
	readonly last: number
	readonly code: number
}

/** A word in more passages tells next to nothing, and counting on would hold others up. */
const MAX_COUNTED = 10_000

/** A complete index, open for reading. */
export class CorpusIndex implements Disposable {
	readonly files: number
	readonly passages: number
	readonly #database: SqlDatabase

	private constructor(database: SqlDatabase, passages: number) {
		this.#database = database
		this.files = database.prepare<{ files: number }>('SELECT count(*) AS files FROM files').get()?.files ?? 0
		this.passages = passages
	}

	/**
	 * Opens an index; null when the file is not a complete index of this digest and version.
	 *
	 * @throws SQLite's error for an unreadable file
	 */
	static open(file: string, digest: string): CorpusIndex | null {
		const database = openDatabase(file)
		try {
			database.exec('PRAGMA query_only = ON')
			const version = database.prepare<{ user_version: number }>('PRAGMA user_version').get()?.user_version
			const about = version === INDEX_VERSION ? database.prepare<AboutRow>('SELECT digest, passages FROM about').get() : undefined
			if (about?.digest === digest) return new CorpusIndex(database, about.passages)
		} catch (error) {
			database.close()
			throw error
		}
		database.close()
		return null
	}

	/** Finds passages with any of the terms, best first in FTS5's own BM25 order. */
	search(terms: readonly string[], limit: number): FoundPassage[] {
		if (terms.length === 0) return []
		const rows = this.#database
			.prepare<PassageRow>(
				`SELECT path, sha256, first, last, heading, code, -rank AS score
				FROM (SELECT rowid AS passage_id, rank FROM words WHERE words MATCH ? ORDER BY rank, rowid LIMIT ?)
				JOIN passages USING (passage_id) JOIN files USING (file_id) ORDER BY rank, passage_id`,
			)
			.all(matchAny(terms), limit)
		return rows.map(toPassage)
	}

	/** Counts the passages that hold a term in any of its forms, up to {@link MAX_COUNTED}. */
	count(term: string): number {
		const sql = `SELECT count(*) AS found FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ${MAX_COUNTED})`
		return this.#database.prepare<{ found: number }>(sql).get(quoteTerm(term))?.found ?? 0
	}

	[Symbol.dispose](): void {
		this.#database.close()
	}
}

/** Writes an index into a new file. It is complete once {@link IndexWriter.finish} has returned. */
class IndexWriter implements Disposable {
	readonly #database: SqlDatabase
	readonly #insertFile: SqlStatement<never>
	readonly #insertPassage: SqlStatement<never>
	readonly #insertWords: SqlStatement<never>
	#files = 0
	#passages = 0

	constructor(file: string) {
		this.#database = openDatabase(file)
		// No journal on the disk: a half-written file is thrown away, never recovered.
		this.#database.exec(`PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; ${SCHEMA}`)
		// FTS5 flushes its words within an insert: 64 KiB of them take about 8 ms, its default of 1 MiB three times that.
		this.#database.exec("INSERT INTO words (words, rank) VALUES ('hashsize', 65536); BEGIN")
		this.#insertFile = this.#database.prepare('INSERT INTO files VALUES (?, ?, ?)')
		this.#insertPassage = this.#database.prepare('INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?)')
		this.#insertWords = this.#database.prepare('INSERT INTO words (rowid, heading, text) VALUES (?, ?, ?)')
	}

	addFile(path: string, sha256: string): void {
		this.#files++
		this.#insertFile.run(this.#files, path, sha256)
	}

	/** Adds a passage of the file that was added last. */
	addPassage({ start, end, heading, code, text }: Passage): void {
		this.#passages++
		this.#insertPassage.run(this.#passages, this.#files, start, end, heading, code ? 1 : 0)
		this.#insertWords.run(this.#passages, splitNames(heading), splitNames(text))
	}

	finish(digest: string): void {
		this.#database.prepare('INSERT INTO about VALUES (?, ?)').run(digest, this.#passages)
		this.#database.exec(`PRAGMA user_version = ${INDEX_VERSION}; COMMIT`)
	}

	[Symbol.dispose](): void {
		this.#database.close()
	}
}

function toPassage({ path, sha256, first, last, heading, code, score }: PassageRow): FoundPassage {
	return { path, sha256, start: first, end: last, heading, code: code === 1, score }
}

/** Older indexes are deleted when a new one is built; a step that needs one rebuilds it. */
const KEPT_INDEXES = 8
const INDEX_NAME = /^[0-9a-f]{64}\.v\d+\.sqlite$/
const BUILDING_NAME = /^[0-9a-f]{64}\.(\d+)\.[0-9a-f-]{36}\.building$/

/** Files this process is writing; any others with its process id were left by an earlier process. */
const UNDER_WAY = new Set<string>()

/** Called after each file with the files done, all of them, and the passages so far. */
export type OnIndexed = (files: { readonly done: number; readonly total: number }, passages: number) => void

/**
 * The full-text indexes of one directory, each a file named by its inventory's digest. An index is written under a unique name
 * and renamed when it is complete, so that steps, attempts and processes building the same one at the same time cannot interfere:
 * each rename installs an equal file.
 */
export class IndexStore {
	readonly #directory: string
	constructor(directory: string) {
		this.#directory = directory
	}

	/** Returns the store of one tenant, so that no tenant searches an index that another one has built. */
	of(tenant: string): IndexStore {
		return new IndexStore(path.join(this.#directory, tenant))
	}

	/**
	 * Opens the index of the inventory, or builds it if it is missing, incomplete or corrupt.
	 *
	 * @throws AgentError `bad_input` for an inventory whose digest does not match its files, `corpus_changed`
	 */
	async build(corpus: Corpus, inventory: Inventory, signal: AbortSignal, onIndexed: OnIndexed = () => {}): Promise<CorpusIndex> {
		if (inventory.digest !== digestFiles(inventory.files)) {
			throw agentError(
				'bad_input',
				'The digest of the inventory does not match its files. Run the plan again from its inventory.',
			)
		}
		const ready = await this.#openExisting(inventory.digest)
		if (ready !== null) return ready
		await mkdir(this.#directory, { recursive: true })
		await this.#deleteLeftovers()
		const name = `${inventory.digest}.${process.pid}.${randomUUID()}.building`
		const file = path.join(this.#directory, name)
		UNDER_WAY.add(name)
		try {
			await writeIndex(file, corpus, inventory, signal, onIndexed)
			await rename(file, this.#resolveFile(inventory.digest))
		} finally {
			UNDER_WAY.delete(name)
			await rm(file, { force: true })
		}
		await this.#deleteOldest()
		const built = await this.#openExisting(inventory.digest)
		if (built !== null) return built
		throw new Error(
			`The index ${inventory.digest} disappeared after it was built. Check that no other program deletes files in its directory.`,
		)
	}

	/**
	 * Opens the index of this digest, or builds it from the corpus if there is none, also when it was lost (another machine, a cleared
	 * directory).
	 *
	 * @throws AgentError `corpus_changed` when there is none and the corpus has changed
	 */
	async open(corpus: Corpus, digest: string, signal: AbortSignal, onIndexed?: OnIndexed): Promise<CorpusIndex> {
		const ready = await this.#openExisting(digest)
		if (ready !== null) return ready
		const inventory = await takeInventory(corpus, signal)
		if (inventory.digest !== digest) {
			throw agentError(
				'corpus_changed',
				'The corpus has changed since its inventory, and there is no index of it as it was. Retry the inventory step with its dependents.',
			)
		}
		return this.build(corpus, inventory, signal, onIndexed)
	}

	#resolveFile(digest: string): string {
		return path.join(this.#directory, `${digest}.v${INDEX_VERSION}.sqlite`)
	}

	async #openExisting(digest: string): Promise<CorpusIndex | null> {
		const file = this.#resolveFile(digest)
		const size = await stat(file).then(
			(found) => found.size,
			() => 0,
		)
		if (size === 0) return null
		try {
			return CorpusIndex.open(file, digest)
		} catch {
			// Whatever SQLite's error is, the remedy is the same: rebuild the file and replace it.
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

async function writeIndex(
	file: string,
	corpus: Corpus,
	inventory: Inventory,
	signal: AbortSignal,
	onIndexed: OnIndexed,
): Promise<void> {
	const pace = createPacer(signal)
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

const input = z.strictObject({})

/** `corpus.index`: builds the full-text index of the `corpus.inventory` it depends on, or reuses it. */
export function indexAgent(policy: CorpusPolicy, indexes: IndexStore): Agent {
	return defineAgent({
		type: 'corpus.index',
		input,
		result: indexResult,
		async execute(_step, context) {
			context.signal.throwIfAborted()
			const { corpus: given, digest } = getResult(corpusToIndex, context.inputs)
			const corpus = await openCorpus(given, policy, context.plan.tenant)
			const progress = createProgress(context, 'files')
			const store = indexes.of(context.plan.tenant)
			using index = await store.open(corpus, digest, context.signal, ({ done, total }) => progress(done, total))
			context.signal.throwIfAborted()
			progress(index.files, index.files)
			const { files, passages } = index
			return { data: { kind: 'corpus.index', corpus: given, digest, files, passages } as const }
		},
	})
}
