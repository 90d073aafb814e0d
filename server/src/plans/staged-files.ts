import { createHash, randomUUID } from 'node:crypto'
import { mkdir, open, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PlanstreamError } from '@planstream/shared'
import { assertArtifactSize, type TenantArtifacts } from './artifacts.js'

/** Folder of the data directory with one folder for each import under way. */
const IMPORTS = 'imports'

/**
 * Removes the files of imports that an earlier process did not finish. Call it while this process has the data directory to itself.
 *
 * @param directory - the data directory
 */
export async function sweepStagedFiles(directory: string): Promise<void> {
	await rm(join(directory, IMPORTS), { recursive: true, force: true })
}

/** The files of an import, in a folder of its own until the whole archive was checked. Disposing it removes what was not moved. */
export class StagedFiles implements AsyncDisposable {
	readonly #folder: string
	readonly #artifacts: Pick<TenantArtifacts, 'adopt'>
	readonly #bytes = new Map<string, number>()

	/**
	 * @param directory - the data directory
	 * @param artifacts - the files of the tenant that imports
	 */
	constructor(directory: string, artifacts: Pick<TenantArtifacts, 'adopt'>) {
		this.#folder = join(directory, IMPORTS, randomUUID())
		this.#artifacts = artifacts
	}

	/** Bytes of each file, by its SHA-256. */
	get bytes(): ReadonlyMap<string, number> {
		return this.#bytes
	}

	/**
	 * Writes a file durably.
	 *
	 * @throws PlanstreamError `bad_request` for a content that does not match its id and for a file that comes twice, `too_large`, `storage_full`
	 */
	async take(artifact_id: string, pieces: AsyncIterable<Uint8Array>): Promise<void> {
		if (this.#bytes.has(artifact_id)) {
			const message = `The file ${artifact_id} comes twice. Send the lines of an export unchanged.`
			throw new PlanstreamError('bad_request', message, { artifact_id })
		}
		await mkdir(this.#folder, { recursive: true, mode: 0o700 })
		await using file = await open(join(this.#folder, artifact_id), 'wx', 0o600)
		const verified = new VerifiedContent(artifact_id, pieces)
		try {
			await writeFile(file, verified)
			await file.sync()
		} catch (error) {
			throw explainFullDisk(error, this.#folder)
		}
		this.#bytes.set(artifact_id, verified.bytes)
	}

	/** Moves files to the artifacts of the tenant. */
	async move(artifact_ids: Iterable<string>): Promise<void> {
		for (const artifact_id of artifact_ids) {
			if (this.#bytes.has(artifact_id)) await this.#artifacts.adopt(artifact_id, join(this.#folder, artifact_id))
		}
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await rm(this.#folder, { recursive: true, force: true })
	}
}

/** Passes the pieces of a file on, counts them, and throws after the last one if they do not match the id. */
class VerifiedContent implements AsyncIterable<Uint8Array> {
	bytes = 0
	readonly #artifact_id: string
	readonly #pieces: AsyncIterable<Uint8Array>

	constructor(artifact_id: string, pieces: AsyncIterable<Uint8Array>) {
		this.#artifact_id = artifact_id
		this.#pieces = pieces
	}

	async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
		const hash = createHash('sha256')
		for await (const piece of this.#pieces) {
			this.bytes += piece.byteLength
			assertArtifactSize(this.#artifact_id, this.bytes)
			hash.update(piece)
			yield piece
		}
		if (hash.digest('hex') === this.#artifact_id) return
		const message = `The ${this.bytes} bytes of the artifact ${this.#artifact_id} do not match its id. Export the plan again.`
		throw new PlanstreamError('bad_request', message, { artifact_id: this.#artifact_id })
	}
}

function explainFullDisk(error: unknown, directory: string): unknown {
	const code = error instanceof Error && 'code' in error ? error.code : null
	if (code !== 'ENOSPC' && code !== 'EDQUOT') return error
	const message = `The disk of ${directory} is full, so a file of the import could not be stored. Free some space.`
	return new PlanstreamError('storage_full', message, { directory }, { cause: error })
}
