import type { Dirent } from 'node:fs'
import { readdir, realpath, stat } from 'node:fs/promises'
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
import { inventoryResult, researchInput } from './results.js'

const TEXT_EXTENSIONS = new Set(['.md', '.mdx', '.markdown', '.txt', '.text', '.rst', '.adoc', '.asciidoc', '.org', '.tex'])
const MAX_FILES = 2000
const MAX_CORPUS_BYTES = 67_108_864
/** Keeps the listing well below the 1 MiB a step's result may have. */
const MAX_PATHS_BYTES = 262_144
/** Bytes searched for a NUL, which only a binary file contains. */
const SNIFF_BYTES = 8192
const NAMED_SKIPS = 20
const UNREADABLE = new Set<unknown>(['ENOENT', 'EACCES', 'EPERM', 'ELOOP', 'ENXIO', 'corpus_changed', 'corpus_refused'])

export interface InventoryFile {
	/** Relative to the corpus, with `/` on every system. */
	readonly path: string
	readonly bytes: number
	readonly sha256: string
}

export type SkipReason = 'symlink' | 'too_large' | 'binary' | 'not_utf8' | 'unreadable'
type Skipped = { path: string; reason: SkipReason }

export interface Inventory {
	/** sha256 over paths and contents: two folders with equal documents have equal digests. */
	readonly digest: string
	/** Ordered by path, by code unit. */
	readonly files: InventoryFile[]
	readonly total_bytes: number
	/** Skipped files with a text extension: their number, and the first of them. */
	readonly skipped: { readonly count: number; readonly first: { readonly path: string; readonly reason: SkipReason }[] }
}

/**
 * Lists every text document below the corpus with its size and hash. Skipped: files without a text extension, dot folders and
 * files, `node_modules`, symbolic links, files above {@link MAX_FILE_BYTES}, binary files, broken UTF-8, and files that cannot be
 * read or disappear meanwhile.
 *
 * @param onFile - called after each file with the number of files done and the total
 * @throws AgentError `corpus_too_large` above 2,000 files, 64 MiB, or 256 KiB of path names
 */
export async function takeInventory(
	corpus: Corpus,
	signal: AbortSignal,
	onFile: (done: number, total: number, path: string) => void = () => {},
): Promise<Inventory> {
	const skipped: Skipped[] = []
	const paths = await findTexts(corpus, signal, skipped)
	const files: InventoryFile[] = []
	let total_bytes = 0
	for (const [at, relative] of paths.entries()) {
		signal.throwIfAborted()
		const found = await examine(corpus, relative, signal)
		if (typeof found === 'string') skipped.push({ path: relative, reason: found })
		else files.push(found)
		total_bytes += typeof found === 'string' ? 0 : found.bytes
		if (total_bytes > MAX_CORPUS_BYTES) throw createTooLargeError(`more than ${MAX_CORPUS_BYTES} bytes of text`)
		onFile(at + 1, paths.length, relative)
	}
	return {
		digest: digestFiles(files),
		files,
		total_bytes,
		skipped: { count: skipped.length, first: skipped.slice(0, NAMED_SKIPS) },
	}
}

/** Computes the digest of an inventory with these files. */
export function digestFiles(files: readonly InventoryFile[]): string {
	return sha256(files.map((file) => `${file.sha256} ${file.bytes} ${file.path}\n`).join(''))
}

async function findTexts(corpus: Corpus, signal: AbortSignal, skipped: Skipped[]): Promise<string[]> {
	const found: string[] = []
	const folders = ['']
	const pace = createPacer(signal)
	let pathBytes = 0
	for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
		signal.throwIfAborted()
		for (const entry of await readEntries(corpus, folder, skipped)) {
			await pace()
			const relative = folder === '' ? entry.name : `${folder}/${entry.name}`
			if (entry.name.startsWith('.') || entry.name === 'node_modules') continue
			if (entry.isDirectory()) folders.push(relative)
			if (!TEXT_EXTENSIONS.has(path.extname(entry.name).toLowerCase())) continue
			if (entry.isSymbolicLink()) skipped.push({ path: relative, reason: 'symlink' })
			if (!entry.isFile()) continue
			found.push(relative)
			pathBytes += Buffer.byteLength(relative)
			if (found.length > MAX_FILES) throw createTooLargeError(`more than ${MAX_FILES} text files`)
			if (pathBytes > MAX_PATHS_BYTES) throw createTooLargeError(`more than ${MAX_PATHS_BYTES} bytes of path names`)
		}
	}
	return found.sort()
}

async function readEntries(corpus: Corpus, folder: string, skipped: Skipped[]): Promise<Dirent[]> {
	try {
		const real = await realpath(path.join(corpus.root, folder))
		if (real === path.join(corpus.root, folder)) return await readdir(real, { withFileTypes: true })
		skipped.push({ path: folder, reason: 'symlink' })
		return []
	} catch (error) {
		if (folder === '' || !isUnreadable(error)) throw error
		skipped.push({ path: folder, reason: 'unreadable' })
		return []
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

function createTooLargeError(what: string): Error {
	return agentError('corpus_too_large', `The corpus has ${what}. Name a smaller folder, or split it over several plans.`)
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
			const inventory = await takeInventory(corpus, context.signal, progress)
			if (inventory.files.length === 0)
				context.output('The corpus contains no text documents.\n', { channel: 'log', level: 'warn' })
			context.usage({ bytes_read: inventory.total_bytes })
			const data = { kind: 'corpus.inventory', corpus: given, ...inventory } as const
			return { data }
		},
	})
}
