import { openMemoryDatabase, type SqlDatabase, type SqlStatement } from '../../log/sqlite/driver.js'

/** English question and function words: a search for them matches every passage. */
const STOP_WORDS = new Set(
	`a about after again all also am an and any are as at be because been before being between both but by can cannot could did
	do does doing done during each either every few for from further get gets give given gives go goes had happen happened happens has
	have having he her here hers him his how i if in into is it its itself just let like may me mean means might more most
	much must my neither no nor not of off on once one only or other our ours out over own per same shall she should since so
	some such tell than that the their theirs them then there these they this those through to too under until up upon us use
	used uses using very via was we were what when where whether which while who whom whose why will with within without would
	you your yours`.split(/\s+/),
)

/** Verbs of "How do I ...": they say little about the subject, and rare ones would outweigh it. */
const GENERIC_WORDS = new Set(
	`add adds added check checks create creates define defines handle handles know make makes many need needs run runs set sets show shows
	want wants way work works write writes`.split(/\s+/),
)

const WORD = /[\p{L}\p{N}\p{M}]+/gu
const MAX_TERMS = 32

/**
 * Extracts the search words of a question: lower case, each once, in order, without stop words (unless there are no others) and
 * without generic verbs (if two others remain), at most 32.
 */
export function extractTerms(question: string): string[] {
	const words = [...new Set(question.toLowerCase().match(WORD) ?? [])]
	const telling = words.filter((word) => !STOP_WORDS.has(word))
	const subject = telling.filter((word) => !GENERIC_WORDS.has(word))
	const [terms = words] = [subject.length > 1 ? subject : telling].filter(({ length }) => length > 0)
	return terms.slice(0, MAX_TERMS)
}

/** Quotes a term for FTS5, so that `NEAR`, `-`, `*`, `:` and quotes in it are literal; a NUL would end the query. */
export function quoteTerm(term: string): string {
	return `"${term.replaceAll('\0', ' ').replaceAll('"', '""')}"`
}

/** Builds an FTS5 query for passages with any of the terms; BM25 ranks those with more and rarer ones first. */
export function matchAny(terms: readonly string[]): string {
	return terms.map(quoteTerm).join(' OR ')
}

/** Adds the words of names such as `bodyLimit` to a text, so that a question for the body limit finds it. */
export function splitNames(text: string): string {
	const names = text.match(/\p{L}*\p{Ll}\p{Lu}[\p{L}\p{N}]*/gu) ?? []
	const words = names.map((name) => name.replace(/(?<=\p{Ll})(?=\p{Lu})/gu, ' '))
	return [text, ...words].join(' ')
}

/** A text found by a {@link TextSearch}, as its index in the list. */
export interface FoundText {
	readonly at: number
	/** Terms that occur in it, by the tokenizer's rules. */
	readonly terms: readonly string[]
}

/**
 * A full-text index of a few texts in memory, with the tokenizer of the corpus index, so that both agree on which words are the
 * same.
 */
export class TextSearch implements Disposable {
	readonly #database: SqlDatabase
	readonly #insert: SqlStatement<never>
	#count = 0

	constructor() {
		this.#database = openMemoryDatabase()
		this.#database.exec("CREATE VIRTUAL TABLE words USING fts5 (text, content='', tokenize='porter unicode61')")
		this.#insert = this.#database.prepare('INSERT INTO words (rowid, text) VALUES (?, ?)')
	}

	/** Adds the next text. */
	add(text: string): void {
		this.#insert.run(this.#count, splitNames(text))
		this.#count++
	}

	/** Finds texts with any of the terms, best first in FTS5's own BM25 order. */
	search(terms: readonly string[]): FoundText[] {
		if (terms.length === 0) return []
		const holders = terms.map((term) => ({ term, texts: new Set(this.#matches(quoteTerm(term))) }))
		return this.#matches(matchAny(terms)).map((at) => ({
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

/** Removes terms that are another form of an earlier one: of "cursor" and "cursors", only the first stays. */
export function removeOtherForms(terms: readonly string[]): string[] {
	using search = new TextSearch()
	for (const term of terms) search.add(term)
	return terms.filter((term, at) => {
		const first = Math.min(...search.search([term]).map((found) => found.at))
		return first === at
	})
}
