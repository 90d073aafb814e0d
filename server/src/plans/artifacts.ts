import { createHash, randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { mkdir, open, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { type Artifact, PlanstreamError } from '@planstream/shared'

/** Limit of one artifact; see PROTOCOL.md section 7. */
export const MAX_ARTIFACT_BYTES = 64 * 1024 * 1024

/** Form of an artifact's id. Imported events may contain any id, which must not lead out of the directory. */
const DIGEST = /^[0-9a-f]{64}$/

/** The content of an artifact. Consume or destroy it, which closes its file. */
export interface ArtifactContent {
	readonly content: Readable
	/** Size of the file, whatever an event says about it. */
	readonly bytes: number
}

/** Builds the path of an artifact's content below the artifacts' directory: `ab/abcdef...`. */
function locateArtifact(directory: string, artifact_id: string): string {
	return join(directory, artifact_id.slice(0, 2), artifact_id)
}

/** Files of all tenants, in a directory for each. Tenants share none, so that nobody learns which content another one has. */
export class Artifacts {
	readonly #directory: string

	/** @param directory - the data directory */
	constructor(directory: string) {
		this.#directory = join(directory, 'artifacts')
	}

	of(tenant: string): TenantArtifacts {
		return new TenantArtifacts(this.#directory, tenant)
	}
}

/** Files addressed by the SHA-256 of their content: equal content is stored once, and a stored file never changes. */
export class TenantArtifacts {
	readonly #directory: string
	/** Holds the files that versions before tenants had directories have stored: those of all tenants. */
	readonly #former: string

	constructor(directory: string, tenant: string) {
		this.#directory = join(directory, tenant)
		this.#former = directory
	}

	/**
	 * Stores content durably and returns its description for an event. The content is copied at once, so the caller may reuse its buffer.
	 *
	 * @throws PlanstreamError `too_large`
	 */
	async put(name: string, content: Uint8Array, media_type: string): Promise<Artifact> {
		assertArtifactSize(name, content.byteLength)
		const bytes = new Uint8Array(content)
		const artifact_id = createHash('sha256').update(bytes).digest('hex')
		const path = locateArtifact(this.#directory, artifact_id)
		if (!(await exists(path))) await this.#write(path, bytes)
		return { artifact_id, name, media_type, bytes: bytes.byteLength }
	}

	/**
	 * Moves a file of the same volume, whose content was checked against its id, to the artifacts. Replaces a stored one, which has the same
	 * content.
	 */
	async adopt(artifact_id: string, file: string): Promise<void> {
		const path = locateArtifact(this.#directory, artifact_id)
		await mkdir(join(path, '..'), { recursive: true, mode: 0o700 })
		await rename(file, path)
	}

	/** Opens the content of an artifact; null when it is gone or the id is malformed. */
	async open(artifact_id: string): Promise<ArtifactContent | null> {
		if (!DIGEST.test(artifact_id)) return null
		const own = await openRegular(locateArtifact(this.#directory, artifact_id))
		return own ?? (await openRegular(locateArtifact(this.#former, artifact_id)))
	}

	/** Writes a temporary file and renames it, so that readers never see half a file. */
	async #write(path: string, content: Uint8Array): Promise<void> {
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

async function exists(path: string): Promise<boolean> {
	try {
		await stat(path)
		return true
	} catch (error) {
		if (isMissing(error)) return false
		throw error
	}
}

function isMissing(error: unknown): boolean {
	return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ELOOP')
}
