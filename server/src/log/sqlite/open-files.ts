import { statSync } from 'node:fs'
import { createMissingFilesError } from '../storage-errors.js'

/**
 * The files of an open database. SQLite goes on writing to files that were moved or deleted, where no later process would look, so their
 * places are checked.
 */
export class OpenFiles {
	readonly #directory: string
	readonly #paths: readonly string[]
	/** Identity of each file when it was first seen; the write-ahead log may appear with the first write. */
	readonly #known = new Map<string, string>()

	/** @param file - path of the database, which this process has just opened */
	constructor(directory: string, file: string) {
		this.#directory = directory
		this.#paths = [file, `${file}-wal`]
		this.#known.set(file, identify(file) ?? '')
	}

	/** Whether each file is in its place. */
	get arePresent(): boolean {
		return this.#paths.every((path) => this.#isPresent(path))
	}

	/** @throws PlanstreamError `storage_unavailable` */
	assertPresent(): void {
		if (!this.arePresent) throw createMissingFilesError(this.#directory)
	}

	#isPresent(path: string): boolean {
		const found = identify(path)
		const known = this.#known.get(path)
		if (known !== undefined) return found === known
		if (found !== null) this.#known.set(path, found)
		return true
	}
}

/** Returns device and inode of a file; null when there is none. */
function identify(path: string): string | null {
	const found = statSync(path, { bigint: true, throwIfNoEntry: false })
	return found === undefined ? null : `${found.dev}:${found.ino}`
}
