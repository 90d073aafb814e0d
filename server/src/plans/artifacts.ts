import { createHash, randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { type Artifact, PlanstreamError } from '@planstream/shared'
import type { ArtifactOwner } from '../log/event-log.js'

/** Limit of one artifact; see PROTOCOL.md section 7. */
export const MAX_ARTIFACT_BYTES = 64 * 1024 * 1024

/** Form of an artifact's id. Imported events may contain any id, which must not lead out of the directory. */
export const DIGEST = /^[0-9a-f]{64}$/

/** The content of an artifact. Consume or destroy it, which closes its file. */
export interface ArtifactContent {
	readonly content: Readable
	/** Size of the file, whatever an event says about it. */
	readonly bytes: number
}

/** Builds the path of an artifact's content below the directory of its tenant: `ab/abcdef...`. */
function locateArtifact(directory: string, artifact_id: string): string {
	return join(directory, artifact_id.slice(0, 2), artifact_id)
}

/** Files of all tenants, in a directory for each. Tenants share none, so that nobody learns which content another one has. */
export class Artifacts {
	/** The directory of the directories of the tenants. */
	readonly directory: string
	/** Paths of artifacts that running attempts have stored, with the number of holds on each. */
	readonly #held = new Map<string, number>()
	/** Artifacts whose holds have ended since the last {@link Artifacts.takeReleased}. */
	#released: ArtifactOwner[] = []
	/** Paths of artifacts that {@link Artifacts.remove} looks at; a hold takes its path out. */
	readonly #doomed = new Set<string>()
	readonly #removing = new Map<string, Promise<void>>()

	/** @param directory - the data directory */
	constructor(directory: string) {
		this.directory = join(directory, 'artifacts')
	}

	of(tenant: string): TenantArtifacts {
		return new TenantArtifacts(join(this.directory, tenant), (path) => this.#claim(path))
	}

	/** Opens a hold on what an attempt stores: the log names it only once the attempt has ended. */
	hold(tenant: string): ArtifactHold {
		const files = this.of(tenant)
		return new ArtifactHold(files, async (artifact_id) => {
			const path = files.locate(artifact_id)
			this.#held.set(path, (this.#held.get(path) ?? 0) + 1)
			await this.#claim(path)
			return { [Symbol.dispose]: () => this.#release(path, { tenant, artifact_id }) }
		})
	}

	/** Returns the artifacts whose holds have ended since the last call: the log names them by now, or never will. */
	takeReleased(): readonly ArtifactOwner[] {
		const released = this.#released
		this.#released = []
		return released
	}

	/**
	 * Removes the files of a tenant that nothing needs: no hold, and none that `findNamed` returns. A file that is held meanwhile stays,
	 * because its event may be stored by now.
	 *
	 * @returns the errors of files that could not be removed
	 */
	async remove(
		tenant: string,
		artifact_ids: readonly string[],
		findNamed: (artifact_ids: readonly string[]) => Promise<ReadonlySet<string>>,
	): Promise<readonly unknown[]> {
		const failures: unknown[] = []
		const files = this.of(tenant)
		const free = artifact_ids.filter((artifact_id) => DIGEST.test(artifact_id) && !this.#held.has(files.locate(artifact_id)))
		for (const artifact_id of free) this.#doomed.add(files.locate(artifact_id))
		try {
			const named = await findNamed(free)
			for (const artifact_id of free) {
				const path = files.locate(artifact_id)
				if (named.has(artifact_id) || !this.#doomed.delete(path)) continue
				const removing = rm(path, { force: true }).catch((failure: unknown) => void failures.push(failure))
				this.#removing.set(path, removing)
				await removing
				this.#removing.delete(path)
			}
		} finally {
			for (const artifact_id of free) this.#doomed.delete(files.locate(artifact_id))
		}
		return failures
	}

	/** Saves a path from a removal that has looked at it already. */
	async #claim(path: string): Promise<void> {
		this.#doomed.delete(path)
		await this.#removing.get(path)
	}

	#release(path: string, owner: ArtifactOwner): void {
		const holds = (this.#held.get(path) ?? 1) - 1
		if (holds > 0) this.#held.set(path, holds)
		else {
			this.#held.delete(path)
			this.#released.push(owner)
		}
	}
}

/** Files that one attempt stores. Until it is disposed none of them is removed. */
export class ArtifactHold implements Disposable {
	readonly #files: TenantArtifacts
	readonly #hold: (artifact_id: string) => Promise<Disposable>
	readonly #holds: Disposable[] = []
	#isDisposed = false

	constructor(files: TenantArtifacts, hold: (artifact_id: string) => Promise<Disposable>) {
		this.#files = files
		this.#hold = hold
	}

	/**
	 * Stores content durably and returns its description for an event. The content is copied at once, so the caller may reuse its buffer.
	 *
	 * @throws PlanstreamError `too_large`
	 */
	async put(name: string, content: Uint8Array, media_type: string): Promise<Artifact> {
		assertArtifactSize(name, content.byteLength)
		const bytes = Buffer.from(content)
		const artifact_id = createHash('sha256').update(bytes).digest('hex')
		const hold = await this.#hold(artifact_id)
		try {
			await this.#files.write(artifact_id, bytes)
		} finally {
			if (this.#isDisposed) hold[Symbol.dispose]()
			else this.#holds.push(hold)
		}
		return { artifact_id, name, media_type, bytes: bytes.byteLength }
	}

	[Symbol.dispose](): void {
		this.#isDisposed = true
		for (const hold of this.#holds.splice(0)) hold[Symbol.dispose]()
	}
}

/** Files addressed by the SHA-256 of their content: equal content is stored once, and a stored file never changes. */
export class TenantArtifacts {
	readonly #directory: string
	readonly #claim: (path: string) => Promise<void>

	/**
	 * @param directory - the directory of one tenant
	 * @param claim - keeps a path from being removed until something names it
	 */
	constructor(directory: string, claim: (path: string) => Promise<void>) {
		this.#directory = directory
		this.#claim = claim
	}

	locate(artifact_id: string): string {
		return locateArtifact(this.#directory, artifact_id)
	}

	/** Writes content under its id, unless it is there already. A file that was changed on the disk is replaced. */
	async write(artifact_id: string, bytes: Buffer): Promise<void> {
		const path = this.locate(artifact_id)
		if (!(await hasContent(path, bytes))) await writeWhole(path, bytes)
	}

	/**
	 * Moves a file of the same volume, whose content was checked against its id, to the artifacts. Replaces a stored one, which has the same
	 * content.
	 */
	async adopt(artifact_id: string, file: string): Promise<void> {
		const path = this.locate(artifact_id)
		await this.#claim(path)
		await mkdir(join(path, '..'), { recursive: true, mode: 0o700 })
		await rename(file, path)
	}

	/** Opens the content of an artifact; null when it is gone or the id is malformed. */
	async open(artifact_id: string): Promise<ArtifactContent | null> {
		return DIGEST.test(artifact_id) ? await openRegular(this.locate(artifact_id)) : null
	}
}

/** Tells whether a file has exactly this content. One that cannot be read has not. */
async function hasContent(path: string, bytes: Buffer): Promise<boolean> {
	try {
		const found = await openRegular(path)
		if (found === null) return false
		let at = 0
		// Leaving the loop closes the file.
		for await (const piece of found.content as AsyncIterable<Buffer>) {
			if (!piece.equals(bytes.subarray(at, at + piece.length))) return false
			at += piece.length
		}
		return at === bytes.length
	} catch {
		return false
	}
}

/** Writes a temporary file and renames it, so that readers never see half a file. */
async function writeWhole(path: string, content: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
	await mkdir(join(path, '..'), { recursive: true, mode: 0o700 })
	const temporary = `${path}.${randomUUID()}.tmp`
	const file = await open(temporary, 'wx', 0o600)
	try {
		await writeFile(file, content)
		await file.sync()
		await rename(temporary, path)
	} catch (error) {
		await rm(temporary, { force: true })
		throw error
	} finally {
		await file.close()
	}
}

/** Opens a regular file; null for a missing one, and for a link, a pipe and anything else, none of which the server has made. */
async function openRegular(path: string): Promise<ArtifactContent | null> {
	const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch((error: unknown) => {
		if (isMissing(error)) return null
		throw error
	})
	if (file === null) return null
	const found = await file.stat().catch(async (error: unknown) => {
		await file.close()
		throw error
	})
	if (found.isFile()) return { content: file.createReadStream(), bytes: found.size }
	await file.close()
	return null
}

/** @throws PlanstreamError `too_large` */
export function assertArtifactSize(name: string, bytes: number): void {
	if (bytes <= MAX_ARTIFACT_BYTES) return
	const message = `The artifact ${name} has ${bytes} bytes; the limit is ${MAX_ARTIFACT_BYTES}. Split it.`
	throw new PlanstreamError('too_large', message, { bytes, limit: MAX_ARTIFACT_BYTES })
}

function isMissing(error: unknown): boolean {
	return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ELOOP')
}
