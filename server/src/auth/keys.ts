import { createHash, randomBytes } from 'node:crypto'
import { type Stats, unwatchFile, watchFile } from 'node:fs'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { PlanstreamError } from '@planstream/shared'
import { SCOPES } from '@planstream/shared/schemas'
import * as z from 'zod'
import { describeIssue, findFirstIssue, showPath } from '../ops/issues.js'
import { removeByteOrderMark } from '../ops/json.js'

const KEY_BYTES = 32
/** Lets people and secret scanners recognise a leaked key. */
const KEY_PREFIX = 'psk_'

/** Name of a tenant: principals only reach the plans of theirs. */
export const tenant = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, "_" or "-"')

/** A key as the key file stores it: its permissions and its hash, nothing that could authenticate a request. */
export const apiKey = z.strictObject({
	/** Names the key in events, logs and errors. */
	id: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be 1 to 64 letters, digits, ".", "_" or "-"'),
	hash: z.string().regex(/^[0-9a-f]{64}$/, 'must be the SHA-256 of a key in 64 lower-case hex digits'),
	tenant,
	scopes: z.array(z.enum(SCOPES, `must be one of ${SCOPES.join(', ')}`)).min(1, 'must name one at least'),
	expires_at: z.iso.datetime({ offset: true, error: 'must be an ISO 8601 time with its zone' }).optional(),
})

export type ApiKey = z.output<typeof apiKey>

/** Generates a random key. */
export function makeKey(): string {
	return `${KEY_PREFIX}${randomBytes(KEY_BYTES).toString('base64url')}`
}

/** Hashes a key for storage. A key is 32 random bytes, which cannot be guessed, so a slow hash would protect nothing. */
export function hashKey(key: string): Buffer {
	return createHash('sha256').update(key).digest()
}

/** Most keys in one file: each request is compared with all of them. */
const MAX_KEYS = 1000
/** Time between two checks of the file. */
const WATCH_INTERVAL_MS = 500

const keyFile = z
	.array(apiKey)
	.max(MAX_KEYS)
	.refine((keys) => new Set(keys.map(({ id }) => id)).size === keys.length, 'must not give two keys the same id')

/** Properties of a new key. */
export interface NewKey {
	/** @defaultValue a random id */
	readonly id?: string | undefined
	readonly tenant: string
	readonly scopes: readonly string[]
	/** An ISO 8601 time with its zone. @defaultValue never */
	readonly expires_at?: string | undefined
}

/**
 * Reads the keys in a file, which must belong to this user or to root, who alone may write it: whoever else can write it decides who gets in.
 *
 * @throws PlanstreamError `bad_request` with the `file`, when it cannot be read, is invalid, or when others may write it
 */
export async function readKeys(file: string): Promise<ApiKey[]> {
	const { text, stats } = await readWithStats(file).catch((cause: unknown) => {
		throw makeFileError(
			file,
			`cannot be read (${describeCause(cause)}). \`planstream keys create --file ${file}\` makes one`,
			cause,
		)
	})
	assertOwn(file, stats)
	return parseKeys(file, text)
}

/** Reads a file and looks at it through one handle, so that both are of the same file. */
async function readWithStats(file: string): Promise<{ readonly text: string; readonly stats: Stats }> {
	await using handle = await open(file)
	return { stats: await handle.stat(), text: await handle.readFile('utf8') }
}

const ROOT = 0
/** Write permission for the group and for others. */
const WRITABLE_FOR_OTHERS = 0o022

/** Checks owner and mode, where the system has them. */
function assertOwn(file: string, { uid, mode }: Stats): void {
	const user = process.getuid?.()
	if (user === undefined) return
	if (uid !== user && uid !== ROOT) {
		throw makeFileError(file, `belongs to user ${uid}. Make it belong to the user ${user} of this process, or to root`, undefined)
	}
	if ((mode & WRITABLE_FOR_OTHERS) === 0) return
	throw makeFileError(file, `is writable for others. Take that away with \`chmod go-w ${file}\``, undefined)
}

/**
 * Creates a key and adds its hash to a file, which is created if it does not exist. Only the file's owner may read it.
 *
 * @returns the key, which is stored nowhere else
 * @throws PlanstreamError `bad_request`; `conflict` for an id that another key has, and while another program changes the file
 */
export async function createKey(file: string, { id, ...given }: NewKey): Promise<string> {
	const key = makeKey()
	const added = parseKey({ id: id ?? `key_${randomBytes(4).toString('hex')}`, hash: hashKey(key).toString('hex'), ...given })
	await change(file, (before) => {
		if (!before.some((each) => each.id === added.id)) return [...before, added]
		throw new PlanstreamError('conflict', `The key file ${file} already has a key ${added.id}. Choose another id.`, { file })
	})
	return key
}

/**
 * Removes a key from a file; servers that watch the file stop accepting it.
 *
 * @throws PlanstreamError `not_found` for an unknown id; `bad_request` with the `file`; `conflict` while another program changes it
 */
export async function revokeKey(file: string, id: string): Promise<void> {
	await change(file, (before) => {
		const after = before.filter((key) => key.id !== id)
		if (after.length < before.length) return after
		const ids = before.map((key) => key.id)
		throw new PlanstreamError('not_found', `The key file ${file} has no key ${id}. It has: ${ids.join(', ')}.`, { file, ids })
	})
}

/** Calls back after each change of a file, until disposed. */
export function watchKeys(file: string, onChange: () => void): Disposable {
	watchFile(file, { interval: WATCH_INTERVAL_MS, persistent: false }, onChange)
	return { [Symbol.dispose]: () => unwatchFile(file, onChange) }
}

/** Writes a new file and renames it, so that readers see the old keys or the new ones, and only one program changes them at a time. */
async function change(file: string, edit: (before: readonly ApiKey[]) => readonly ApiKey[]): Promise<void> {
	const beside = `${file}.new`
	const handle = await open(beside, 'wx', 0o600).catch((cause: unknown) => {
		if (readCode(cause) !== 'EEXIST')
			throw makeFileError(file, `cannot be written (${describeCause(cause)}). Name another with --file`, cause)
		const message = `Another program is changing ${file}, or stopped midway. If none is running, delete ${beside}.`
		throw new PlanstreamError('conflict', message, { file }, { cause })
	})
	try {
		const after = JSON.stringify(edit(await readCurrentKeys(file)), null, '\t')
		parseKeys(file, after)
		await handle.writeFile(`${after}\n`)
		await handle.sync()
		await rename(beside, file)
	} catch (error) {
		await rm(beside, { force: true })
		throw error
	} finally {
		await handle.close()
	}
}

async function readCurrentKeys(file: string): Promise<ApiKey[]> {
	const text = await readFile(file, 'utf8').catch((cause: unknown) => {
		if (readCode(cause) === 'ENOENT') return '[]'
		throw makeFileError(file, `cannot be read (${describeCause(cause)}). Name another with --file`, cause)
	})
	return parseKeys(file, text)
}

function parseKey(key: unknown): ApiKey {
	const parsed = apiKey.safeParse(key)
	if (parsed.success) return parsed.data
	const issue = findFirstIssue(parsed.error)
	const message = `The key was not created. ${describeIssue(issue, key)}`
	throw new PlanstreamError('bad_request', message, { path: showPath(issue.path) }, { cause: parsed.error })
}

function parseKeys(file: string, text: string): ApiKey[] {
	const value = parseJson(file, text)
	const parsed = keyFile.safeParse(value)
	if (parsed.success) return parsed.data
	throw makeFileError(file, `is invalid. ${describeIssue(findFirstIssue(parsed.error), value)} Correct it`, parsed.error)
}

function parseJson(file: string, text: string): unknown {
	try {
		return JSON.parse(removeByteOrderMark(text))
	} catch (cause) {
		throw makeFileError(file, 'is not JSON. Expected an array of keys', cause)
	}
}

function makeFileError(file: string, what: string, cause: unknown): PlanstreamError {
	return new PlanstreamError('bad_request', `The key file ${file} ${what}.`, { file }, { cause })
}

function readCode(thrown: unknown): string | null {
	return thrown instanceof Error && 'code' in thrown ? String(thrown.code) : null
}

function describeCause(thrown: unknown): string {
	return readCode(thrown) ?? String(thrown)
}
