import { chmod, lstat, readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { PlanstreamError } from '@planstream/shared'
import { ARCHIVE_KEY_FILE } from '../auth/archive-keys.js'
import { DATABASE_FILE } from '../log/sqlite/schema.js'
import { SERVER_FILE } from '../ops/server-file.js'

/** Permissions of everybody but the owner. */
const OTHERS = 0o077
const STICKY = 0o1000

export interface ProtectOptions {
	/** Whether to leave owner and permissions as they are, for a volume that has none. */
	readonly anyMode: boolean
	readonly warn: (message: string) => void
}

/**
 * Makes an existing data directory private: a directory that others may read gets mode 0700, and what is in it 0600 or 0700. Does
 * nothing if it does not exist, because it is then created private.
 *
 * @throws PlanstreamError `bad_request` for a directory that belongs to another user or cannot be made private, and for a link in
 * place of the database, the artifacts or the server file
 */
export async function protectDataDirectory(directory: string, { anyMode, warn }: ProtectOptions): Promise<void> {
	const found = await stat(directory).catch(() => null)
	if (found === null || !found.isDirectory()) return
	await assertNoLinks(directory)
	if (anyMode) return
	// Windows has neither owners nor modes.
	const user = process.getuid?.()
	if (user === undefined) return
	if (found.uid !== user) throw createRefusal(directory, `belongs to the user ${found.uid}, not to ${user}`)
	if ((found.mode & OTHERS) === 0) return
	if ((found.mode & STICKY) !== 0) throw createRefusal(directory, 'is shared with other users')
	await closeToOthers(directory)
	if (((await stat(directory)).mode & OTHERS) !== 0) throw createRefusal(directory, 'stays readable for other users')
	warn(`The data directory ${directory} was readable for other users. It now has mode 0700 and its files 0600.`)
}

/** Takes the permissions of others away, from the directory first, so that nobody enters it meanwhile. */
async function closeToOthers(directory: string): Promise<void> {
	await chmod(directory, 0o700)
	for (const entry of await readdir(directory, { withFileTypes: true })) {
		const inside = path.join(directory, entry.name)
		if (entry.isDirectory()) await closeToOthers(inside)
		if (entry.isFile()) await chmod(inside, 0o600)
	}
}

async function assertNoLinks(directory: string): Promise<void> {
	for (const name of [DATABASE_FILE, `${DATABASE_FILE}-wal`, 'artifacts', ARCHIVE_KEY_FILE, SERVER_FILE]) {
		const found = await lstat(path.join(directory, name)).catch(() => null)
		if (found?.isSymbolicLink() !== true) continue
		const message = `${name} in the data directory ${directory} is a link. Put the file or folder itself there.`
		throw new PlanstreamError('bad_request', message, { directory })
	}
}

function createRefusal(directory: string, why: string): PlanstreamError {
	const message = `The data directory ${directory} ${why}. Make one that only this user can read, or set PLANSTREAM_DATA_MODE=any.`
	return new PlanstreamError('bad_request', message, { directory })
}
