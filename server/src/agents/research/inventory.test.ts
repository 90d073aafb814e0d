import { symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { createCorpusFolder, TIDES } from '#test/support/agents/corpus-folder.js'
import { MAX_FILE_BYTES, openCorpus, readDocument } from './corpus.js'
import { takeInventory } from './inventory.js'

const { signal } = new AbortController()

async function inventoryOf(folder: string) {
	return takeInventory(await openCorpus(folder, { defaultCorpus: '.' }), signal)
}

describe('takeInventory', () => {
	it('lists documents in order and skips other files', async () => {
		await using folder = await createCorpusFolder({
			...TIDES,
			'.hidden/secret.md': 'hidden',
			'.dot.md': 'hidden',
			'node_modules/pkg/README.md': 'not ours',
			'photo.png': 'no text',
			'binary.txt': Buffer.from([65, 0, 66]),
			'latin1.txt': Buffer.from([0xe9, 0x20]),
			'huge.txt': 'x'.repeat(MAX_FILE_BYTES + 1),
		})
		const { files, skipped } = await inventoryOf(folder.documents)
		expect(files.map((file) => file.path)).toEqual(['bread.md', 'coast/harbour.txt', 'moon.md'])
		expect(skipped).toEqual({
			count: 3,
			first: [
				{ path: 'binary.txt', reason: 'binary' },
				{ path: 'huge.txt', reason: 'too_large' },
				{ path: 'latin1.txt', reason: 'not_utf8' },
			],
		})
	})

	// Other systems reject such a name.
	it.runIf(process.platform === 'linux')('names the files it could not read and continues', async () => {
		await using folder = await createCorpusFolder(TIDES)
		const nameOfNoText = Buffer.concat([Buffer.from(`${folder.documents}/`), Buffer.from([0xff]), Buffer.from('.md')])
		await writeFile(nameOfNoText, 'Its name is no UTF-8.')
		const { files, skipped } = await inventoryOf(folder.documents)
		expect(files).toHaveLength(3)
		expect(skipped).toEqual({ count: 1, first: [{ path: '\uFFFD.md', reason: 'unreadable' }] })
	})

	it('gives equal folders equal digests and changed ones another', async () => {
		await using one = await createCorpusFolder(TIDES)
		await using other = await createCorpusFolder(Object.fromEntries(Object.entries(TIDES).reverse()))
		const before = await inventoryOf(one.documents)
		expect((await inventoryOf(other.documents)).digest).toBe(before.digest)
		await one.write('bread.md', 'Rye.')
		expect((await inventoryOf(one.documents)).digest).not.toBe(before.digest)
	})

	it('skips symbolic links to files and folders', async () => {
		await using outside = await createCorpusFolder({ 'secret.md': 'A secret.' })
		await using folder = await createCorpusFolder(TIDES)
		await symlink(path.join(outside.documents, 'secret.md'), path.join(folder.documents, 'link.md'))
		await symlink(outside.documents, path.join(folder.documents, 'linked'))
		const { files, skipped } = await inventoryOf(folder.documents)
		expect(files).toHaveLength(3)
		expect(skipped.first).toEqual([{ path: 'link.md', reason: 'symlink' }])
	})
})

describe('readDocument', () => {
	it('rejects a path that leaves the corpus by dots, by a root or by a symbolic link', async () => {
		await using outside = await createCorpusFolder({ 'secret.md': 'A secret.' })
		await using folder = await createCorpusFolder(TIDES)
		const secret = path.join(outside.documents, 'secret.md')
		await symlink(secret, path.join(folder.documents, 'link.md'))
		await symlink(outside.documents, path.join(folder.documents, 'linked'))
		const corpus = await openCorpus(folder.documents, { defaultCorpus: '.' })
		const dots = path.relative(folder.documents, secret)
		for (const leak of [dots, secret, 'link.md', 'linked/secret.md']) {
			await expect(readDocument(corpus, leak, signal)).rejects.toMatchObject({ code: 'corpus_refused', retryable: false })
		}
	})

	it('rejects a sibling folder whose name starts with the name of the corpus', async () => {
		await using folder = await createCorpusFolder({ 'docs/a.md': 'a', 'docs-private/b.md': 'b' })
		const corpus = await openCorpus(path.join(folder.documents, 'docs'), { defaultCorpus: '.' })
		await expect(readDocument(corpus, '../docs-private/b.md', signal)).rejects.toMatchObject({ code: 'corpus_refused' })
	})

	it('reports a file that no longer exists', async () => {
		await using folder = await createCorpusFolder(TIDES)
		const corpus = await openCorpus(folder.documents, { defaultCorpus: '.' })
		await expect(readDocument(corpus, 'gone.md', signal)).rejects.toMatchObject({ code: 'corpus_changed' })
	})
})

describe('openCorpus', () => {
	it('reports a folder that does not exist', async () => {
		await using folder = await createCorpusFolder(TIDES)
		for (const given of [path.join(folder.documents, 'nowhere'), path.join(folder.documents, 'moon.md')]) {
			await expect(openCorpus(given, { defaultCorpus: '.' })).rejects.toMatchObject({ code: 'corpus_not_found' })
		}
	})

	it('allows plans the permitted folders only, and the default always', async () => {
		await using allowed = await createCorpusFolder(TIDES)
		await using forbidden = await createCorpusFolder(TIDES)
		const policy = { defaultCorpus: forbidden.documents, corpusRoots: [allowed.documents] }
		await expect(openCorpus(path.join(allowed.documents, 'coast'), policy)).resolves.toMatchObject({ given: expect.any(String) })
		await expect(openCorpus(forbidden.documents, policy)).rejects.toMatchObject({ code: 'corpus_refused' })
		await expect(openCorpus(null, policy)).resolves.toMatchObject({ root: forbidden.documents })
	})
})
