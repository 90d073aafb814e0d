import { openMemoryDatabase, type SqlDatabase } from '../../log/sqlite-driver.js'
import { anyOf, quoteTerm } from './terms.js'

/** A text of a {@link TextSearch}, by its place in the list it was made from. */
export interface FoundText {
	readonly at: number
	/** Which of the terms occur in it, by the tokenizer's rules. */
	readonly terms: readonly string[]
}

/**
 * A full-text index of a few texts in memory, with the tokenizer of the corpus index: what is the same word there is
 * the same word here.
 */
export class TextSearch implements Disposable {
	readonly #database: SqlDatabase

	constructor(texts: readonly string[]) {
		this.#database = openMemoryDatabase()
		this.#database.exec("CREATE VIRTUAL TABLE words USING fts5 (text, content='', tokenize='porter unicode61'); BEGIN")
		const insert = this.#database.prepare('INSERT INTO words (rowid, text) VALUES (?, ?)')
		for (const [at, text] of texts.entries()) insert.run(at, text)
		this.#database.exec('COMMIT')
	}

	/** The texts with any of the terms, best first in FTS5's own BM25 order. */
	search(terms: readonly string[]): FoundText[] {
		if (terms.length === 0) return []
		const holders = terms.map((term) => ({ term, texts: new Set(this.#matches(quoteTerm(term))) }))
		return this.#matches(anyOf(terms)).map((at) => ({
			at,
			terms: holders.filter(({ texts }) => texts.has(at)).map(({ term }) => term),
		}))
	}

	[Symbol.dispose](): void {
		this.#database.close()
	}

	#matches(query: string): number[] {
		const sql = 'SELECT rowid AS at FROM words WHERE words MATCH ? ORDER BY rank, rowid'
		const rows = this.#database.prepare<{ at: number }>(sql).all(query)
		return rows.map(({ at }) => at)
	}
}

/** The terms without those that are another form of an earlier one: of "cursor" and "cursors" the first. */
export function withoutOtherForms(terms: readonly string[]): string[] {
	using search = new TextSearch(terms)
	return terms.filter((term, at) => {
		const first = Math.min(...search.search([term]).map((found) => found.at))
		return first === at
	})
}
