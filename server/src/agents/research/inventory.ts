import type { Dir } from 'node:fs'
import { opendir, realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import * as z from 'zod'
import type { Agent } from '../../plans/agent.js'
import { agentError, defineAgent, parseInput } from '../define-agent.js'
import {
	type Corpus,
	type CorpusPolicy,
	createPacer,
	createProgress,
	MAX_FILE_BYTES,
	openCorpus,
	readDocument,
	sha256,
} from './corpus.js'
import { inventoryResult, keepWithin, researchInput } from './results.js'

const TEXT_EXTENSIONS = new Set(['.md', '.mdx', '.markdown', '.txt', '.text', '.rst', '.adoc', '.asciidoc', '.org', '.tex'])
const MAX_FILES = 2000
const MAX_CORPUS_BYTES = 67_108_864
/** Files and folders that are looked at, text or not: a walk over a whole disk ends. */
const MAX_ENTRIES = 200_000
/** Bytes searched for a NUL, which only a binary file contains. */
const SNIFF_BYTES = 8192
/** Documents and skipped files that the result names; the artifact lists all documents. */
const NAMED_FILES = 20
const NAMED_BYTES = 8192
const LISTING_NAME = 'documents.txt'
const UNREADABLE = new Set<unknown>(['ENOENT', 'EACCES', 'EPERM', 'ELOOP', 'ENXIO', 'corpus_changed', 'corpus_refused'])

export interface InventoryFile {
	/** Relative to the corpus, with `/` on every system. */
	readonly path: string
	readonly bytes: number
	readonly sha256: string
}

export type SkipReason = z.output<typeof inventoryResult>['skipped']['first'][number]['reason']

/** Skipped files: how many for each reason, and those that a reader might miss. */
class SkippedFiles {
	readonly #named: { path: string; reason: SkipReason }[] = []
	readonly #counts = new Map<SkipReason, number>()

	/** Counts a skipped file or folder. Those of another type and hidden ones are skipped on purpose, so they are not named. */
	add(path: string, reason: SkipReason): void {
		this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1)
		if (reason !== 'other_type' && reason !== 'hidden') this.#named.push({ path, reason })
	}

	summarize(): Inventory['skipped'] {
		const counts = [...this.#counts].sort(([one], [other]) => (one < other ? -1 : 1))
		const named = this.#named.sort((one, other) => (one.path < other.path ? -1 : 1))
		return {
			count: counts.reduce((sum, [, count]) => sum + count, 0),
			by_reason: Object.fromEntries(counts),
			first: keepWithin(named.slice(0, NAMED_FILES), NAMED_BYTES),
		}
	}
}

export interface Inventory {
	/** sha256 over paths and contents: two folders with equal documents have equal digests. */
	readonly digest: string
	/** Ordered by path, by code unit. */
	readonly files: InventoryFile[]
	readonly total_bytes: number
	/** Skipped files: their number, also for each reason, and the first of those that may be documents. */
	readonly skipped: z.output<typeof inventoryResult>['skipped']
}

/**
 * Lists every text document below the corpus with its size and hash. Skipped: files without a text extension, dot folders and
 * files, `node_modules`, symbolic links, files above {@link MAX_FILE_BYTES}, binary files, broken UTF-8, and files that cannot be
 * read or disappear meanwhile.
 *
 * @param onFile - called after each file with the number of files done and the total
 * @throws AgentError `corpus_too_large` above 2,000 documents, 64 MiB of text, or 200,000 files and folders of any kind
 */
export async function takeInventory(
	corpus: Corpus,
	signal: AbortSignal,
	onFile: (done: number, total: number, path: string) => void = () => {},
): Promise<Inventory> {
	const skipped = new SkippedFiles()
	const paths = await findTexts(corpus, signal, skipped)
	const files: InventoryFile[] = []
	let total_bytes = 0
	for (const [at, relative] of paths.entries()) {
		signal.throwIfAborted()
		const found = await examine(corpus, relative, signal)
		if (typeof found === 'string') skipped.add(relative, found)
		else files.push(found)
		total_bytes += typeof found === 'string' ? 0 : found.bytes
		if (total_bytes > MAX_CORPUS_BYTES) {
			throw createTooLargeError('more than 64 MiB of text', `at most ${MAX_CORPUS_BYTES} bytes`)
		}
		onFile(at + 1, paths.length, relative)
	}
	return { digest: digestFiles(files), files, total_bytes, skipped: skipped.summarize() }
}

/** Computes the digest of an inventory with these files. */
export function digestFiles(files: readonly InventoryFile[]): string {
	return sha256(files.map((file) => `${file.sha256} ${file.bytes} ${file.path}\n`).join(''))
}

async function findTexts(corpus: Corpus, signal: AbortSignal, skipped: SkippedFiles): Promise<string[]> {
	const found: string[] = []
	const folders = ['']
	const pace = createPacer(signal)
	let entries = 0
	for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
		signal.throwIfAborted()
		const opened = await openFolder(corpus, folder, skipped)
		if (opened === null) continue
		for await (const entry of opened) {
			await pace()
			const relative = folder === '' ? entry.name : `${folder}/${entry.name}`
			entries++
			if (entries > MAX_ENTRIES) throw createTooLargeError(`more than ${MAX_ENTRIES} files and folders`, 'fewer')
			if (entry.name.startsWith('.') || entry.name === 'node_modules') skipped.add(relative, 'hidden')
			else if (entry.isDirectory()) folders.push(relative)
			else if (!TEXT_EXTENSIONS.has(path.extname(entry.name).toLowerCase())) skipped.add(relative, 'other_type')
			else if (entry.isSymbolicLink()) skipped.add(relative, 'symlink')
			else if (entry.isFile()) found.push(relative)
			else skipped.add(relative, 'unreadable')
			if (found.length > MAX_FILES) throw createTooLargeError(`more than ${MAX_FILES} text files`, `at most ${MAX_FILES}`)
		}
	}
	return found.sort()
}

async function openFolder(corpus: Corpus, folder: string, skipped: SkippedFiles): Promise<Dir | null> {
	try {
		const real = await realpath(path.join(corpus.root, folder))
		if (real === path.join(corpus.root, folder)) return await opendir(real)
		skipped.add(folder, 'symlink')
		return null
	} catch (error) {
		if (folder === '' || !isUnreadable(error)) throw error
		skipped.add(folder, 'unreadable')
		return null
	}
}

async function examine(corpus: Corpus, relative: string, signal: AbortSignal): Promise<InventoryFile | SkipReason> {
	try {
		const { size } = await stat(path.join(corpus.root, relative))
		if (size > MAX_FILE_BYTES) return 'too_large'
		const { bytes, sha256: hash } = await readDocument(corpus, relative, signal)
		if (bytes.subarray(0, SNIFF_BYTES).includes(0)) return 'binary'
		if (decodeText(bytes) === null) return 'not_utf8'
		return { path: relative, bytes: bytes.byteLength, sha256: hash }
	} catch (error) {
		if (isUnreadable(error)) return 'unreadable'
		throw error
	}
}

function isUnreadable(error: unknown): boolean {
	return error instanceof Error && 'code' in error && UNREADABLE.has(error.code)
}

/** Decodes bytes without any change, a byte order mark included; null for invalid UTF-8. */
export function decodeText(bytes: Uint8Array): string | null {
	try {
		return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
	} catch (error) {
		if (error instanceof TypeError) return null
		throw error
	}
}

function createTooLargeError(found: string, expected: string): Error {
	return agentError(
		'corpus_too_large',
		`The corpus folder has ${found}; a plan reads ${expected}. Name a folder below it, or research its parts in several plans.`,
	)
}

const input = z.strictObject({ corpus: z.string().min(1).max(4096).optional().describe("absent: the plan's") })

/** `corpus.inventory`: lists the documents of the corpus with size and hash. Needs no dependency. */
export function inventoryAgent(policy: CorpusPolicy): Agent {
	return defineAgent({
		type: 'corpus.inventory',
		input,
		result: inventoryResult,
		async execute({ input: own }, context) {
			context.signal.throwIfAborted()
			const given = own.corpus ?? parseInput(researchInput, context.plan.input, 'plan.input').corpus ?? null
			const corpus = await openCorpus(given, policy, context.plan.tenant)
			const progress = createProgress(context, 'files')
			const { files, ...inventory } = await takeInventory(corpus, context.signal, progress)
			context.output(formatSummary(files.length, inventory), { channel: 'log', level: files.length === 0 ? 'warn' : 'info' })
			context.usage({ bytes_read: inventory.total_bytes })
			context.signal.throwIfAborted()
			const { artifact_id, name } = await context.artifact(LISTING_NAME, formatListing(files), 'text/plain')
			const data = {
				kind: 'corpus.inventory',
				corpus: given,
				...inventory,
				documents: files.length,
				listing: { artifact_id, name },
				files: keepWithin(files.slice(0, NAMED_FILES), NAMED_BYTES),
			} as const
			return { data }
		},
	})
}

/** Formats the list of all documents in the manner of `sha256sum`, with the bytes of each in between. */
function formatListing(files: readonly InventoryFile[]): string {
	return files.map(({ sha256: hash, bytes, path: file }) => `${hash}  ${bytes}  ${file}\n`).join('')
}

/** Why files are skipped, in words. */
export const SKIP_REASONS: Readonly<Record<SkipReason, string>> = {
	other_type: 'of another type',
	hidden: 'hidden or node_modules',
	symlink: 'a symbolic link',
	too_large: 'above 2 MiB',
	binary: 'binary',
	not_utf8: 'not UTF-8',
	unreadable: 'unreadable',
}

/** Formats how many documents there are, and how many files were skipped for each reason. */
export function formatSummary(documents: number, { total_bytes, skipped }: Pick<Inventory, 'total_bytes' | 'skipped'>): string {
	const reasons = Object.entries(skipped.by_reason).map(([reason, count]) => `${SKIP_REASONS[reason as SkipReason]} ${count}`)
	const count = documents === 1 ? '1 document' : `${documents} documents`
	const found = documents === 0 ? 'No text documents' : `${count}, ${total_bytes} bytes`
	return `${found}${reasons.length === 0 ? '' : `; skipped files: ${reasons.join(', ')}`}.\n`
}
