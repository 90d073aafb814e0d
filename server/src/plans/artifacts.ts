import { createHash, randomUUID } from 'node:crypto'
import { mkdir, open, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { type Artifact, PlanstreamError } from '@planstream/shared'

/** Limit of one artifact; see PROTOCOL.md section 7. */
export const MAX_ARTIFACT_BYTES = 64 * 1024 * 1024

/** Where the content of an artifact lies below the artifacts' directory: `ab/abcdef...`. */
function artifactPath(directory: string, artifact_id: string): string {
	return join(directory, artifact_id.slice(0, 2), artifact_id)
}

/** Files addressed by the sha256 of their content: the same content is stored once, and what is there never changes. */
export class Artifacts {
	readonly #directory: string

	constructor(directory: string) {
		this.#directory = directory
	}

	/**
	 * Stores content durably and says what an event tells of it.
	 *
	 * @throws PlanstreamError `too_large`
	 */
	async put(name: string, bytes: Uint8Array, media_type: string): Promise<Artifact> {
		if (bytes.byteLength > MAX_ARTIFACT_BYTES) {
			const sentence = `The artifact ${name} has ${bytes.byteLength} bytes; the limit is ${MAX_ARTIFACT_BYTES}. Split it.`
			throw new PlanstreamError('too_large', sentence, { bytes: bytes.byteLength, limit: MAX_ARTIFACT_BYTES })
		}
		const artifact_id = createHash('sha256').update(bytes).digest('hex')
		const path = artifactPath(this.#directory, artifact_id)
		if (!(await exists(path))) await this.#write(path, bytes)
		return { artifact_id, name, media_type, bytes: bytes.byteLength }
	}

	/** The content of an artifact; null when it is not there any more. */
	async open(artifact_id: string): Promise<Readable | null> {
		try {
			return (await open(artifactPath(this.#directory, artifact_id))).createReadStream()
		} catch (error) {
			if (isMissing(error)) return null
			throw error
		}
	}

	/** Writes beside and renames, so that nobody ever sees half a file. */
	async #write(path: string, bytes: Uint8Array): Promise<void> {
		await mkdir(join(path, '..'), { recursive: true, mode: 0o700 })
		const temporary = `${path}.${randomUUID()}.tmp`
		const file = await open(temporary, 'wx', 0o600)
		try {
			await file.writeFile(bytes)
			await file.sync()
		} finally {
			await file.close()
		}
		await rename(temporary, path)
	}
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
	return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
