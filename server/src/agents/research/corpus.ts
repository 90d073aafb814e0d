import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { StepContext } from '../../plans/agent.js'
import { agentError } from '../define-agent.js'

/** Larger files are skipped: they are not documents that people write. */
export const MAX_FILE_BYTES = 2_097_152

/** Folders in which the agents may read documents. */
export interface CorpusPolicy {
	/** Folder for plans that name none; absolute, or relative to the working directory. */
	readonly defaultCorpus: string
	/**
	 * Folders a plan's corpus must be or lie in, for a server whose callers may not read every text on its disk.
	 *
	 * @defaultValue `null`: any folder
	 */
	readonly corpusRoots?: readonly string[] | null
}

/** A corpus folder that exists and may be read. */
export interface Corpus {
	/** Path as the plan names it; null: the server's default, whose real path stays private. */
	readonly given: string | null
	/** Real path, free of symbolic links. */
	readonly root: string
}

/** A file with its path, content and hash. */
export interface Document {
	readonly path: string
	readonly bytes: Buffer
	readonly sha256: string
}

/**
 * Opens the folder that a plan names.
 *
 * @throws AgentError `corpus_not_found`, `corpus_refused`
 */
export async function openCorpus(given: string | null, policy: CorpusPolicy): Promise<Corpus> {
	const wanted = path.resolve(given ?? policy.defaultCorpus)
	const root = await realpath(wanted).catch((cause: unknown) => {
		throw agentError('corpus_not_found', `${describeFolder(given)} does not exist. Name a folder this server can read.`, {
			cause,
		})
	})
	if (!(await stat(root)).isDirectory()) {
		throw agentError('corpus_not_found', `${describeFolder(given)} is not a folder. Name the folder of the documents.`)
	}
	if (given !== null) await assertWithinRoots(given, root, policy.corpusRoots ?? null)
	return { given, root }
}

/**
 * Reads one file of the corpus. The path comes from a plan or a result, so it is not trusted: the file's real path must lie below
 * the corpus, it must be a regular file and no larger than {@link MAX_FILE_BYTES}.
 *
 * @throws AgentError `corpus_refused`, `corpus_changed`
 */
export async function readDocument({ root }: Corpus, relative: string, signal: AbortSignal): Promise<Document> {
	const real = await realpath(path.resolve(root, relative)).catch((cause: unknown) => {
		throw agentError('corpus_changed', `${relative} is no longer in the corpus. Run the plan again from its inventory.`, {
			cause,
		})
	})
	if (!isBelow(root, real)) {
		throw agentError('corpus_refused', `${relative} leads out of the corpus folder; only files below it are read.`)
	}
	const file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW)
	try {
		const bytes = await readBounded(file, relative, signal)
		return { path: relative, bytes, sha256: sha256(bytes) }
	} finally {
		await file.close()
	}
}

export function sha256(content: string | Uint8Array): string {
	return createHash('sha256').update(content).digest('hex')
}

async function readBounded(file: FileHandle, relative: string, signal: AbortSignal): Promise<Buffer> {
	const found = await file.stat()
	if (!found.isFile() || found.size > MAX_FILE_BYTES) {
		throw agentError(
			'corpus_refused',
			`${relative} is not a regular file of at most ${MAX_FILE_BYTES} bytes (it has ${found.size}).`,
		)
	}
	return file.readFile({ signal })
}

async function assertWithinRoots(given: string, root: string, roots: readonly string[] | null): Promise<void> {
	if (roots === null) return
	const allowed = await Promise.all(roots.map((folder) => realpath(path.resolve(folder))))
	if (allowed.some((folder) => folder === root || isBelow(folder, root))) return
	throw agentError('corpus_refused', `The corpus ${given} lies outside the folders this server may read. Ask its operator.`)
}

function isBelow(folder: string, file: string): boolean {
	return file.startsWith(folder.endsWith(path.sep) ? folder : folder + path.sep)
}

function describeFolder(given: string | null): string {
	return given === null ? "The server's default corpus folder" : `The corpus folder ${given}`
}

/** Units of work between two turns of the event loop: about a millisecond of splitting or hashing. */
const UNITS_A_TURN = 64

/**
 * Creates a function to await after each unit of work. It regularly yields to the event loop, so that the server stays
 * responsive, and throws the signal's reason once it is aborted.
 */
export function createPacer(signal: AbortSignal, every = UNITS_A_TURN): () => Promise<void> {
	let done = 0
	return async () => {
		signal.throwIfAborted()
		done++
		if (done % every === 0) await setImmediate(undefined, { signal })
	}
}

/** Maximum number of progress reports per step: more tell a viewer nothing and fill the log. */
const REPORTS_A_STEP = 50

/**
 * Creates a function that reports units of work done, at most {@link REPORTS_A_STEP} times and always at the last one.
 *
 * @param unit - plural, as `files`
 */
export function createProgress(context: StepContext, unit: string): (current: number, total: number) => void {
	let reported = 0
	return (current, total) => {
		const fraction = total === 0 ? 1 : current / total
		const mark = Math.floor(fraction * REPORTS_A_STEP)
		if (mark === reported && current < total) return
		reported = mark
		context.progress(fraction, `${current} of ${total} ${unit}`, { current, total, unit })
	}
}
