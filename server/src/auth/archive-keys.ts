import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { link, open, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { PlanstreamError } from '@planstream/shared'
import { archiveKey } from '@planstream/shared/schemas'
import { ArchiveKey } from '../hub/archive-signature.js'

/** File of the private key in a data directory. */
export const ARCHIVE_KEY_FILE = 'archive.key'

export interface ArchiveKeysOptions {
	/** Data directory. */
	readonly directory: string
	/** Public keys of other servers, whose archives are taken like those of this one. @defaultValue none */
	readonly trusted?: readonly string[] | undefined
	/** Whether to use a key file of any owner and mode, for a volume that has none. @defaultValue false */
	readonly anyMode?: boolean | undefined
}

/** The key that signs the exports of a data directory, and the keys whose archives it trusts. */
export class ArchiveKeys {
	readonly #options: ArchiveKeysOptions
	#own: Promise<ArchiveKey> | null = null

	constructor(options: ArchiveKeysOptions) {
		this.#options = options
	}

	/**
	 * Returns the own key, which is made at its first use.
	 *
	 * @throws PlanstreamError `storage_unavailable` for a file that cannot be used, `storage_full`
	 */
	own(): Promise<ArchiveKey> {
		const opening = this.#own ?? this.#open()
		this.#own = opening
		return opening
	}

	/** Tells whether a public key is the own one or one of those that the operator trusts. */
	async trust(key: string): Promise<boolean> {
		return this.#options.trusted?.includes(key) === true || (await this.own()).id === key
	}

	/** A failure is not kept, so that the next export tries again. */
	#open(): Promise<ArchiveKey> {
		return openArchiveKey(this.#options).catch((error: unknown) => {
			this.#own = null
			throw error
		})
	}
}

/**
 * Returns the public key that signs the exports of a data directory. Makes the key if there is none, also while a server has the
 * directory open.
 *
 * @param anyMode - whether the key file may have any owner and mode
 * @throws PlanstreamError `not_found` without such a directory, `storage_unavailable` for a file that cannot be used, `storage_full`
 */
export async function readArchiveKeyId(directory: string, anyMode = false): Promise<string> {
	const found = await stat(directory).catch(() => null)
	if (found?.isDirectory() !== true) {
		const message = `${directory} is not a directory. Give the data directory of a server with --data.`
		throw new PlanstreamError('not_found', message, { directory })
	}
	return (await openArchiveKey({ directory, anyMode })).id
}

/** Tells whether a text has the form of a public key of archives. */
export function isArchiveKey(text: string): boolean {
	return archiveKey.safeParse(text).success
}

/**
 * Checks the keys that a server is to trust before it opens anything.
 *
 * @throws PlanstreamError `bad_request` for a text that is not a public key of archives
 */
export function assertArchiveTrust(trusted: readonly string[] = []): void {
	const wrong = trusted.find((key) => !isArchiveKey(key))
	if (wrong === undefined) return
	const message = `"${wrong}" is not a public key of archives. Use what \`planstream keys archive\` prints.`
	throw new PlanstreamError('bad_request', message, { path: 'archiveTrust' })
}

async function openArchiveKey({ directory, anyMode = false }: ArchiveKeysOptions): Promise<ArchiveKey> {
	const file = path.join(directory, ARCHIVE_KEY_FILE)
	try {
		return (await readArchiveKey(file, anyMode)) ?? (await makeArchiveKey(file, anyMode))
	} catch (cause) {
		if (cause instanceof PlanstreamError) throw cause
		const code = cause instanceof Error && 'code' in cause ? cause.code : null
		if (code === 'ENOSPC' || code === 'EDQUOT') {
			throw new PlanstreamError(
				'storage_full',
				`The disk is full, so ${file} cannot be made. Free some space.`,
				{ file },
				{ cause },
			)
		}
		throw createKeyFileError(file, `cannot be used (${code ?? String(cause)})`, cause)
	}
}

/** @returns null when there is no file */
async function readArchiveKey(file: string, anyMode: boolean): Promise<ArchiveKey | null> {
	const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW).catch((error: unknown) => {
		if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
		throw error
	})
	if (handle === null) return null
	await using _open = handle
	const { uid, mode } = await handle.stat()
	const user = process.getuid?.()
	if (user !== undefined && !anyMode) {
		if (uid !== user) throw createKeyFileError(file, `belongs to user ${uid}, not to ${user}`)
		if ((mode & OTHERS) !== 0) throw createKeyFileError(file, 'can be read by other users')
	}
	const pem = await handle.readFile('utf8')
	try {
		return ArchiveKey.parse(pem)
	} catch (cause) {
		throw createKeyFileError(file, 'is not an Ed25519 private key', cause)
	}
}

/** Permissions of everybody but the owner. */
const OTHERS = 0o077

/** Makes the file under another name first: of two processes that make it at once, both get the key of the faster one. */
async function makeArchiveKey(file: string, anyMode: boolean): Promise<ArchiveKey> {
	const beside = `${file}.${randomUUID()}`
	try {
		await using handle = await open(beside, 'wx', 0o600)
		await handle.writeFile(ArchiveKey.make().toPem())
		await handle.sync()
		await placeOnce(beside, file)
	} finally {
		await rm(beside, { force: true })
	}
	const made = await readArchiveKey(file, anyMode)
	if (made === null) throw createKeyFileError(file, 'was removed as soon as it was made')
	return made
}

/** Gives a file its name unless that is taken. Volumes without hard links have no way to do both in one step. */
async function placeOnce(beside: string, file: string): Promise<void> {
	try {
		await link(beside, file)
	} catch (error) {
		const code = error instanceof Error && 'code' in error ? error.code : null
		if (code === 'EEXIST') return
		if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'ENOSYS') throw error
		await rename(beside, file)
	}
}

function createKeyFileError(file: string, what: string, cause?: unknown): PlanstreamError {
	const message = `The key of exports ${file} ${what}. Make it a file of this user with mode 0600, or remove it to get a new key.`
	return new PlanstreamError('storage_unavailable', message, { file }, { cause })
}
