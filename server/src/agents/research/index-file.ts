import { openDatabase, type SqlDatabase, type SqlStatement } from '../../log/sqlite-driver.js'
import type { Passage } from './passages.js'
import { anyOf, quoteTerm } from './terms.js'

/** Raised when the tables change: an index of another version is built anew. */
export const INDEX_VERSION = 1

/** Words are folded in case and accents by unicode61 and stemmed by porter; `words` keeps no second copy of the text. */
const SCHEMA = `
	CREATE TABLE about (digest TEXT NOT NULL, passages INTEGER NOT NULL) STRICT;
	CREATE TABLE files (file_id INTEGER PRIMARY KEY, path TEXT NOT NULL, sha256 TEXT NOT NULL) STRICT;
	CREATE TABLE passages (passage_id INTEGER PRIMARY KEY, file_id INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
		heading TEXT NOT NULL, code INTEGER NOT NULL) STRICT;
	CREATE VIRTUAL TABLE words USING fts5 (heading, text, content='', tokenize='porter unicode61');
`

/** A passage the index found: a place in a file, and how well it fits. */
export interface FoundPassage {
	readonly path: string
	readonly sha256: string
	readonly start: number
	readonly end: number
	readonly heading: string
	readonly code: boolean
	/** FTS5's bm25 with its sign turned: more is better. */
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

/** An index that was built to its end, open for reading. */
export class CorpusIndex implements Disposable {
	readonly passages: number
	readonly #database: SqlDatabase

	private constructor(database: SqlDatabase, passages: number) {
		this.#database = database
		this.passages = passages
	}

	/** null when the file is no whole index of this digest and version. @throws what SQLite throws for a file it cannot read */
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

	/** The passages with any of the terms, best first in FTS5's own BM25 order. */
	search(terms: readonly string[], limit: number): FoundPassage[] {
		if (terms.length === 0) return []
		const rows = this.#database
			.prepare<PassageRow>(
				`SELECT path, sha256, first, last, heading, code, -rank AS score
				FROM (SELECT rowid AS passage_id, rank FROM words WHERE words MATCH ? ORDER BY rank, rowid LIMIT ?)
				JOIN passages USING (passage_id) JOIN files USING (file_id) ORDER BY rank, passage_id`,
			)
			.all(anyOf(terms), limit)
		return rows.map(toPassage)
	}

	/** Whether a term occurs anywhere, in any of its forms. */
	has(term: string): boolean {
		return this.#database.prepare('SELECT 1 FROM words WHERE words MATCH ? LIMIT 1').get(quoteTerm(term)) !== undefined
	}

	[Symbol.dispose](): void {
		this.#database.close()
	}
}

/** Writes an index into a new file. It counts as whole once {@link IndexWriter.finish} has returned. */
export class IndexWriter implements Disposable {
	readonly #database: SqlDatabase
	readonly #insertFile: SqlStatement<never>
	readonly #insertPassage: SqlStatement<never>
	readonly #insertWords: SqlStatement<never>
	#files = 0
	#passages = 0

	constructor(file: string) {
		this.#database = openDatabase(file)
		// No journal on the disk: a half-written file is thrown away, never recovered.
		this.#database.exec(`PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; ${SCHEMA} BEGIN`)
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
		this.#insertWords.run(this.#passages, heading, text)
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
