import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, lstat, open, realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { StepContext } from '../../plans/agent.js'
import { type AgentError, agentError } from '../define-agent.js'

/** Larger files are skipped: they are not documents that people write. */
export const MAX_FILE_BYTES = 2_097_152

/** Folders in which the agents may read documents. */
export interface CorpusPolicy {
	/** Folder for plans that name none; absolute, or relative to the working directory. */
	readonly defaultCorpus: string
	/** Folders that the corpus of a tenant's plan must be or lie in. {@link BUILT_IN_ROOT} is one by name. */
	readonly rootsOf: (tenant: string) => readonly string[]
}

/** The name of the root with the documents that Planstream ships. */
const BUILT_IN_ROOT = 'builtin'

/** Places of these documents: in the repository, and in the package of the command line beside this one. */
const BUILT_IN_PLACES = ['../../../../docs', '../../../../../planstream/docs'].map((place) =>
	fileURLToPath(new URL(place, import.meta.url)),
)

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
 * Opens the folder that a plan names. It must lie in a root of the tenant, and every refusal reads the same, so that nobody learns which folders
 * the disk has.
 *
 * @throws AgentError `invalid_input`
 */
export async function openCorpus(given: string | null, policy: CorpusPolicy, tenant: string): Promise<Corpus> {
	const roots = await findRoots(policy.rootsOf(tenant))
	const root = await findFolder(given === null ? path.resolve(policy.defaultCorpus) : locateFolder(given, roots))
	if (root !== null && [...roots.values()].some((allowed) => allowed === root || isBelow(allowed, root))) return { given, root }
	const name = given === null ? "The server's default corpus folder" : `The corpus folder ${given.slice(0, 200)}`
	throw agentError('invalid_input', `${name} cannot be read. Name a folder below one of the server's corpus roots.`)
}

/** Real paths of the roots, by name. A root that is missing, a link or no folder gives access to nothing. */
async function findRoots(names: readonly string[]): Promise<ReadonlyMap<string, string>> {
	const roots = new Map<string, string>()
	for (const name of names) {
		const found = name === BUILT_IN_ROOT ? await findBuiltIn() : await findRoot(path.resolve(name))
		if (found !== null) roots.set(name, found)
	}
	return roots
}

async function findBuiltIn(): Promise<string | null> {
	const found = await Promise.all(BUILT_IN_PLACES.map(findFolder))
	return found.find((folder) => folder !== null) ?? null
}

async function findRoot(folder: string): Promise<string | null> {
	const found = await lstat(folder).catch(() => null)
	return found?.isDirectory() === true ? findFolder(folder) : null
}

/** The real path of a folder; null when it is none. */
async function findFolder(folder: string): Promise<string | null> {
	const real = await realpath(folder).catch(() => null)
	const found = real === null ? null : await stat(real).catch(() => null)
	return found?.isDirectory() === true ? real : null
}

/** Locates a folder that a plan names: below the built-in root if it begins with that name, else in the file system. */
function locateFolder(given: string, roots: ReadonlyMap<string, string>): string {
	const builtIn = roots.get(BUILT_IN_ROOT)
	const [first, ...rest] = given.split('/')
	return builtIn !== undefined && first === BUILT_IN_ROOT ? path.join(builtIn, ...rest) : path.resolve(given)
}

/**
 * Reads one file of the corpus. The path comes from a plan or a result, so it is not trusted: the file's real path must lie below
 * the corpus, it must be a regular file and no larger than {@link MAX_FILE_BYTES}.
 *
 * @throws AgentError `corpus_refused`, `corpus_changed`
 */
export async function readDocument({ root }: Corpus, relative: string, signal: AbortSignal): Promise<Document> {
	const real = await findFile(root, relative)
	// Without O_NONBLOCK, opening a pipe would wait for somebody who writes.
	const file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
	try {
		await assertInPlace(file, root, relative)
		const bytes = await readBounded(file, relative, signal)
		return { path: relative, bytes, sha256: sha256(bytes) }
	} finally {
		await file.close()
	}
}

/** The real path of a file below the root. */
async function findFile(root: string, relative: string): Promise<string> {
	const real = await realpath(path.resolve(root, relative)).catch((cause: unknown) => {
		throw agentError('corpus_changed', `${relative} is no longer in the corpus. Run the plan again from its inventory.`, {
			cause,
		})
	})
	if (!isBelow(root, real)) throw createEscapeError(relative)
	return real
}

/** Refuses a file that was reached through a folder that became a link after its path had been checked. */
async function assertInPlace(file: FileHandle, root: string, relative: string): Promise<void> {
	const opened = await file.stat()
	const found = await lstat(await findFile(root, relative))
	if (opened.dev !== found.dev || opened.ino !== found.ino) throw createEscapeError(relative)
}

function createEscapeError(relative: string): AgentError {
	return agentError('corpus_refused', `${relative} leads out of the corpus folder; only files below it are read.`)
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

function isBelow(folder: string, file: string): boolean {
	return file.startsWith(folder.endsWith(path.sep) ? folder : folder + path.sep)
}

/** Longest work between two turns of the event loop, and then the unit that crosses it. */
const SLICE_MS = 2

/**
 * Creates a function to await after each unit of work, which takes a millisecond or two at most. It yields to the event loop
 * whenever a slice of time is over, so that one tenant's research holds nobody up, and throws the signal's reason once it is aborted.
 *
 * @param readMs - a monotonic clock
 */
export function createPacer(signal: AbortSignal, readMs: () => number = () => performance.now()): () => Promise<void> {
	let since = readMs()
	return async () => {
		signal.throwIfAborted()
		if (readMs() - since < SLICE_MS) return
		await setImmediate(undefined, { signal })
		since = readMs()
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
