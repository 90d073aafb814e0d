import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type CorpusFolder, createCorpusFolder, TIDES } from '#test/support/agents/corpus-folder.js'
import { openMemoryDatabase } from '../../log/sqlite/driver.js'
import { openCorpus } from './corpus.js'
import { IndexStore } from './index-store.js'
import { takeInventory } from './inventory.js'
import { splitPassages } from './passages.js'
import { extractTerms, matchAny } from './search.js'

const { signal } = new AbortController()

async function prepare(folder: CorpusFolder) {
	const corpus = await openCorpus(folder.documents, { defaultCorpus: '.', rootsOf: () => ['/'] }, 'default')
	return { corpus, inventory: await takeInventory(corpus, signal), store: new IndexStore(folder.indexes) }
}

describe('the index of a corpus', () => {
	it('returns passages in the order of a plain FTS5 table', async () => {
		await using folder = await createCorpusFolder({
			...TIDES,
			'more.md': 'moon\n\nmoon moon tide\n\ntide of the moon and the sea, the sea\n\nsea\n',
		})
		const { corpus, inventory, store } = await prepare(folder)
		using index = await store.build(corpus, inventory, signal)
		const plain = openMemoryDatabase()
		plain.exec("CREATE VIRTUAL TABLE plain USING fts5 (heading, text, place UNINDEXED, tokenize='porter unicode61')")
		const texts: Record<string, string> = {
			...TIDES,
			'more.md': 'moon\n\nmoon moon tide\n\ntide of the moon and the sea, the sea\n\nsea\n',
		}
		for (const { path: name } of inventory.files) {
			for (const { heading, text, start } of splitPassages(texts[name] ?? '')) {
				plain.prepare('INSERT INTO plain VALUES (?, ?, ?)').run(heading, text, `${name}:${start}`)
			}
		}
		const terms = ['tides', 'moon', 'sea']
		const expected = plain
			.prepare<{ place: string; score: number }>(
				'SELECT place, -bm25(plain) AS score FROM plain WHERE plain MATCH ? ORDER BY bm25(plain), rowid',
			)
			.all(matchAny(terms))
			.map(({ place, score }) => ({ place, score }))
		plain.close()
		const found = index.search(terms, 100).map(({ path: name, start, score }) => ({ place: `${name}:${start}`, score }))
		expect(found.length).toBeGreaterThan(5)
		expect(found).toEqual(expected)
	})

	it('refuses an inventory whose digest does not match its files', async () => {
		await using folder = await createCorpusFolder(TIDES)
		const { corpus, inventory, store } = await prepare(folder)
		const forged = { ...inventory, files: inventory.files.slice(1) }
		await expect(store.build(corpus, forged, signal)).rejects.toMatchObject({ code: 'bad_input', retryable: false })
	})

	it('treats any question as words, also operators and quotes', async () => {
		await using folder = await createCorpusFolder(TIDES)
		const { corpus, inventory, store } = await prepare(folder)
		using index = await store.build(corpus, inventory, signal)
		const hostile = ['tide AND NOT (moon', 'NEAR(tide, 5)', '"tide" * ^ - + : {', 'heading: tide', "'; DROP TABLE words; --"]
		for (const question of hostile) expect(() => index.search(extractTerms(question), 5)).not.toThrow()
		expect(index.search(['"tide" OR bread'], 5)).toEqual([])
		fc.assert(
			fc.property(fc.string({ unit: 'binary' }), (question) => {
				index.search([question], 5)
				index.search(extractTerms(question), 5)
			}),
		)
	})

	it('is built once and then reused', async () => {
		await using folder = await createCorpusFolder(TIDES)
		const { corpus, inventory, store } = await prepare(folder)
		;(await store.build(corpus, inventory, signal))[Symbol.dispose]()
		const indexed: number[] = []
		using again = await new IndexStore(folder.indexes).build(corpus, inventory, signal, (_, passages) => indexed.push(passages))
		expect(indexed).toEqual([])
		expect(again.passages).toBe(4)
	})

	it('is built beside the unfinished file of a killed process, which it deletes', async () => {
		await using folder = await createCorpusFolder(TIDES)
		const { corpus, inventory, store } = await prepare(folder)
		await mkdir(folder.indexes)
		const left = `${inventory.digest}.${process.pid}.0f0e0d0c-0000-4000-8000-000000000000.building`
		await writeFile(path.join(folder.indexes, left), 'SQLite format 3\0 and then nothing')
		using index = await store.build(corpus, inventory, signal)
		expect(index.search(['tide'], 5)).not.toEqual([])
		expect(await readdir(folder.indexes)).toEqual([`${inventory.digest}.v2.sqlite`])
	})

	it.each([
		['empty', ''],
		['not a database', 'garbage '.repeat(1000)],
	])('replaces a file of its name that is %s', async (_, content) => {
		await using folder = await createCorpusFolder(TIDES)
		const { corpus, inventory, store } = await prepare(folder)
		await mkdir(folder.indexes)
		await writeFile(path.join(folder.indexes, `${inventory.digest}.v2.sqlite`), content)
		using index = await store.build(corpus, inventory, signal)
		expect(index.search(['tide'], 5)).not.toEqual([])
	})

	it('survives concurrent builds', async () => {
		await using folder = await createCorpusFolder(TIDES)
		const { corpus, inventory } = await prepare(folder)
		const built = await Promise.all(
			Array.from({ length: 6 }, () => new IndexStore(folder.indexes).build(corpus, inventory, signal)),
		)
		const first = built[0]?.search(['tide', 'moon'], 10)
		for (const index of built) {
			expect(index.search(['tide', 'moon'], 10)).toEqual(first)
			index[Symbol.dispose]()
		}
		expect(await readdir(folder.indexes)).toEqual([`${inventory.digest}.v2.sqlite`])
	})

	it('leaves no file behind when it is aborted', async () => {
		await using folder = await createCorpusFolder(TIDES)
		const { corpus, inventory, store } = await prepare(folder)
		const abort = new AbortController()
		const building = store.build(corpus, inventory, abort.signal, () => abort.abort(new Error('enough')))
		await expect(building).rejects.toThrow('enough')
		expect(await readdir(folder.indexes)).toEqual([])
	})

	it('is rebuilt from its own corpus when it was lost, and never from another', async () => {
		await using folder = await createCorpusFolder(TIDES)
		const { corpus, inventory, store } = await prepare(folder)
		using rebuilt = await store.open(corpus, inventory.digest, signal)
		expect(rebuilt.passages).toBe(4)
		await rm(folder.indexes, { recursive: true })
		await folder.write('bread.md', 'Rye.')
		await expect(store.open(corpus, inventory.digest, signal)).rejects.toMatchObject({ code: 'corpus_changed', retryable: false })
	})

	it('rejects a file that changed since the inventory', async () => {
		await using folder = await createCorpusFolder(TIDES)
		const { corpus, inventory, store } = await prepare(folder)
		await folder.write('moon.md', 'Cheese.')
		await expect(store.build(corpus, inventory, signal)).rejects.toMatchObject({ code: 'corpus_changed' })
	})

	it('keeps at most eight indexes', async () => {
		await using folder = await createCorpusFolder(TIDES)
		for (let version = 0; version < 10; version++) {
			await folder.write('bread.md', `Rye, version ${version}.`)
			const { corpus, inventory, store } = await prepare(folder)
			;(await store.build(corpus, inventory, signal))[Symbol.dispose]()
			expect((await stat(path.join(folder.indexes, `${inventory.digest}.v2.sqlite`))).size).toBeGreaterThan(0)
		}
		expect(await readdir(folder.indexes)).toHaveLength(8)
	})
})
