import { execFileSync } from 'node:child_process'
import { symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type CorpusFolder, createCorpusFolder, TIDES } from '#test/support/agents/corpus-folder.js'
import { outputOf, recordingContext } from '#test/support/agents/recording-context.js'
import { callAgent } from '../../plans/agent.js'
import { MAX_FILE_BYTES, openCorpus, readDocument } from './corpus.js'
import { inventoryAgent, takeInventory } from './inventory.js'

const { signal } = new AbortController()

async function inventoryOf(folder: string) {
	return takeInventory(await openCorpus(folder, { defaultCorpus: '.', rootsOf: () => ['/'] }, 'default'), signal)
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
			count: 7,
			by_reason: { binary: 1, hidden: 3, not_utf8: 1, other_type: 1, too_large: 1 },
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
		expect(skipped).toMatchObject({ count: 1, first: [{ path: '\uFFFD.md', reason: 'unreadable' }] })
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

/** Runs `corpus.inventory`, which gives its result and the artifact with all documents. */
async function runInventory({ documents }: CorpusFolder) {
	const agent = inventoryAgent({ defaultCorpus: documents, rootsOf: () => ['/'] })
	const step = { step_id: 'i', name: 'i', action: 'i', agent_type: agent.type, input: {} }
	const context = recordingContext()
	const { data } = await callAgent(agent, step, context)
	const [listing = ''] = context.reports.flatMap((report) => (report.kind === 'artifact' ? [report.content] : []))
	return { data, listing, context }
}

describe('corpus.inventory', () => {
	it('lists all documents in an artifact, and the first in a result below 20 KB, for 200 with long names', async () => {
		const name = (at: number) => `${'long-folder-name/'.repeat(12)}${'x'.repeat(200)}-${1000 + at}.md`
		const texts = Object.fromEntries(Array.from({ length: 200 }, (_, at) => [name(at), 'A document.']))
		await using folder = await createCorpusFolder({ ...texts, 'photo.png': '' })
		const { data, listing, context } = await runInventory(folder)
		expect(Buffer.byteLength(JSON.stringify(data))).toBeLessThan(20_000)
		expect(data).toMatchObject({ documents: 200, listing: { name: 'documents.txt' }, skipped: { count: 1 } })
		const files = listing
			.split('\n')
			.slice(0, -1)
			.map((line) => /^(?<sha256>[0-9a-f]{64}) {2}(?<bytes>\d+) {2}(?<path>.+)$/.exec(line)?.groups)
		expect(files.map((file) => file?.path)).toEqual(Object.keys(texts).sort())
		expect(data).toMatchObject({ files: files.slice(0, 16).map((file) => ({ ...file, bytes: 11 })) })
		expect(outputOf(context, 'log')).toBe('200 documents, 2200 bytes; skipped files: of another type 1.\n')
	})

	it.each([
		[
			'2,001 documents',
			() => Array.from({ length: 2001 }, (_, at) => [`${at}.md`, '']),
			'more than 2000 text files; a plan reads at most 2000',
		],
		[
			'64 MiB and a byte',
			() => [...Array.from({ length: 32 }, (_, at) => [`${at}.md`, 'x'.repeat(MAX_FILE_BYTES)]), ['more.md', '!']],
			'more than 64 MiB of text; a plan reads at most 67108864 bytes',
		],
	])('refuses %s and says what to do', async (_, makeFiles, fault) => {
		await using folder = await createCorpusFolder(Object.fromEntries(makeFiles()) as Record<string, string>)
		await expect(runInventory(folder)).rejects.toMatchObject({
			code: 'corpus_too_large',
			retryable: false,
			message: `The corpus folder has ${fault}. Name a folder below it, or research its parts in several plans.`,
		})
	})
})

describe('readDocument', () => {
	it('rejects a path that leaves the corpus by dots, by a root or by a symbolic link', async () => {
		await using outside = await createCorpusFolder({ 'secret.md': 'A secret.' })
		await using folder = await createCorpusFolder(TIDES)
		const secret = path.join(outside.documents, 'secret.md')
		await symlink(secret, path.join(folder.documents, 'link.md'))
		await symlink(outside.documents, path.join(folder.documents, 'linked'))
		const corpus = await openCorpus(folder.documents, { defaultCorpus: '.', rootsOf: () => ['/'] }, 'default')
		const dots = path.relative(folder.documents, secret)
		for (const leak of [dots, secret, 'link.md', 'linked/secret.md']) {
			await expect(readDocument(corpus, leak, signal)).rejects.toMatchObject({ code: 'corpus_refused', retryable: false })
		}
	})

	it('rejects a sibling folder whose name starts with the name of the corpus', async () => {
		await using folder = await createCorpusFolder({ 'docs/a.md': 'a', 'docs-private/b.md': 'b' })
		const corpus = await openCorpus(path.join(folder.documents, 'docs'), { defaultCorpus: '.', rootsOf: () => ['/'] }, 'default')
		await expect(readDocument(corpus, '../docs-private/b.md', signal)).rejects.toMatchObject({ code: 'corpus_refused' })
	})

	it('reports a file that no longer exists', async () => {
		await using folder = await createCorpusFolder(TIDES)
		const corpus = await openCorpus(folder.documents, { defaultCorpus: '.', rootsOf: () => ['/'] }, 'default')
		await expect(readDocument(corpus, 'gone.md', signal)).rejects.toMatchObject({ code: 'corpus_changed' })
	})
})

describe('openCorpus', () => {
	it('refuses a folder outside the roots, missing, a file or linked out, always with the same message', async () => {
		await using allowed = await createCorpusFolder(TIDES)
		await using other = await createCorpusFolder(TIDES)
		const inside = (name: string) => path.join(allowed.documents, name)
		await symlink(other.documents, inside('out'))
		const policy = { defaultCorpus: other.documents, rootsOf: (tenant: string) => (tenant === 'acme' ? [allowed.documents] : []) }
		await expect(openCorpus(inside('coast'), policy, 'acme')).resolves.toEqual({ given: inside('coast'), root: inside('coast') })
		const refused = [other.documents, `${other.documents}/nowhere`, inside('nowhere'), inside('moon.md'), inside('out')]
		for (const given of [...refused, `${inside('coast')}/../../..`, 'builtin']) {
			const message = `The corpus folder ${given} cannot be read. Name a folder below one of the server's corpus roots.`
			await expect(openCorpus(given, policy, 'acme')).rejects.toMatchObject({ code: 'invalid_input', message, retryable: false })
		}
		await expect(openCorpus(null, policy, 'acme')).rejects.toMatchObject({ code: 'invalid_input' })
		await expect(openCorpus(inside('coast'), policy, 'other')).rejects.toMatchObject({ code: 'invalid_input' })
	})

	it('takes no link as a root, and finds the documents of Planstream by their name', async () => {
		await using folder = await createCorpusFolder(TIDES)
		const link = path.join(folder.documents, 'link')
		await symlink(folder.documents, link)
		const policy = { defaultCorpus: '.', rootsOf: () => [link, 'builtin', '/nowhere'] }
		await expect(openCorpus(folder.documents, policy, 'acme')).rejects.toMatchObject({ code: 'invalid_input' })
		await expect(openCorpus('builtin', policy, 'acme')).resolves.toMatchObject({ root: path.resolve('docs') })
		await expect(openCorpus('builtin/..', policy, 'acme')).rejects.toMatchObject({ code: 'invalid_input' })
	})
})

describe('readDocument', () => {
	it('waits for no pipe', async () => {
		await using folder = await createCorpusFolder(TIDES)
		execFileSync('mkfifo', [path.join(folder.documents, 'pipe.md')])
		const corpus = await openCorpus(folder.documents, { defaultCorpus: '.', rootsOf: () => ['/'] }, 'default')
		await expect(readDocument(corpus, 'pipe.md', signal)).rejects.toMatchObject({ code: 'corpus_refused' })
	})
})
