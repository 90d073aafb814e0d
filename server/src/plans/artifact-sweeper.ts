import { constants } from 'node:fs'
import { copyFile, link, mkdir, readdir, rename, rm, rmdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { asPlanstreamError } from '@planstream/shared'
import type { ArtifactOwner, EventLog } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'
import { type Artifacts, DIGEST } from './artifacts.js'

const INTERVAL_MS = 60_000
/** Pause after a removal, so that one sweep does the work of many. */
const SOON_MS = 200
/** Time from the start to the search for files that an earlier process has left: long enough to notice a wrong database. */
const SEARCH_MS = 3_600_000
/** Artifacts that are looked up at a time. */
const CHUNK = 256

export interface ArtifactSweeperOptions {
	readonly log: EventLog
	readonly artifacts: Artifacts
	readonly schedule: Schedule
	/** Milliseconds since 1970. */
	readonly clock: () => number
	readonly onProblem: (message: string, error?: Error) => void
}

/**
 * Removes files that no plan of their tenant names any more: soon after a plan was deleted, cleared or trimmed, and each minute those of
 * attempts that failed. An hour after the start it searches for files that a killed process has stored for nothing.
 */
export class ArtifactSweeper {
	readonly #options: ArtifactSweeperOptions
	readonly #watch: Disposable
	readonly #startedAt: number
	#search: Disposable | null = null
	#timer: Disposable | null = null
	#working: Promise<void> = Promise.resolve()
	#isDue = false
	#stopped = false

	constructor(options: ArtifactSweeperOptions) {
		this.#options = options
		this.#startedAt = options.clock()
		this.#watch = options.log.watchRemovals(() => this.#sweepSoon())
	}

	start(): void {
		this.#search = this.#options.schedule(() => void this.#work(() => this.#searchAll()), SEARCH_MS)
		this.#sweepSoon()
	}

	/** Waits for the work under way and starts no other. */
	async stop(): Promise<void> {
		this.#stopped = true
		this.#watch[Symbol.dispose]()
		this.#search?.[Symbol.dispose]()
		this.#timer?.[Symbol.dispose]()
		await this.#working
	}

	/** Moves the files that earlier versions kept for all tenants together to the tenants whose plans name them. Never rejects. */
	adopt(): Promise<void> {
		return this.#work(() => this.#adopt())
	}

	/** Removes what has lost its last name. Never rejects. */
	sweep(): Promise<void> {
		return this.#work(() => this.#sweep())
	}

	/** These files were in `ab/abcdef...`. */
	async #adopt(): Promise<void> {
		const { artifacts, log } = this.#options
		for (const shard of await list(artifacts.directory)) {
			if (!/^[0-9a-f]{2}$/.test(shard)) continue
			const folder = path.join(artifacts.directory, shard)
			for (const ids of divide((await list(folder)).filter((name) => DIGEST.test(name)))) {
				const owners = await log.artifactOwners(ids)
				for (const { tenant, artifact_id } of owners) {
					await linkFile(path.join(folder, artifact_id), artifacts.of(tenant).locate(artifact_id))
				}
				for (const artifact_id of this.#mayRemove ? ids : owners.map((owner) => owner.artifact_id)) {
					await rm(path.join(folder, artifact_id), { force: true })
				}
			}
			// It stays if it is the directory of a tenant of this name.
			await rmdir(folder).catch(() => undefined)
		}
	}

	async #sweep(): Promise<void> {
		const { artifacts, log } = this.#options
		if (!this.#mayRemove) return
		await this.#remove(artifacts.takeReleased())
		for (let released = await log.releasedArtifacts(CHUNK); released.length > 0; ) {
			await this.#remove(released)
			await log.forgetReleased(released)
			released = this.#stopped ? [] : await log.releasedArtifacts(CHUNK)
		}
	}

	/** Looks at every file that was stored before this process started, and removes those that no plan names. */
	async #searchAll(): Promise<void> {
		const { directory } = this.#options.artifacts
		if (!this.#mayRemove) return
		for (const tenant of await list(directory)) {
			for (const shard of await list(path.join(directory, tenant))) {
				const old = await this.#listOld(path.join(directory, tenant, shard))
				for (const artifact_ids of divide(old)) {
					if (this.#stopped) return
					await this.#remove(artifact_ids.map((artifact_id) => ({ tenant, artifact_id })))
				}
			}
		}
	}

	/** Whether the log can tell what is named. When it has lost events, a file may belong to one of them. */
	get #mayRemove(): boolean {
		return this.#options.log.dropped === null
	}

	async #listOld(folder: string): Promise<readonly string[]> {
		const old: string[] = []
		for (const name of await list(folder)) {
			const file = path.join(folder, name)
			const found = await stat(file).catch(() => null)
			if (found === null || found.mtimeMs >= this.#startedAt) continue
			if (DIGEST.test(name)) old.push(name)
			else if (name.endsWith('.tmp')) await rm(file, { force: true })
		}
		return old
	}

	async #remove(owners: readonly ArtifactOwner[]): Promise<void> {
		const { artifacts, log, onProblem } = this.#options
		// Another server may have a new directory in this place.
		await log.assertPresent()
		const byTenant = new Map<string, string[]>()
		for (const { tenant, artifact_id } of owners) byTenant.set(tenant, [...(byTenant.get(tenant) ?? []), artifact_id])
		for (const [tenant, artifact_ids] of byTenant) {
			const failures = await artifacts.remove(tenant, artifact_ids, async (ids) => {
				const named = (await log.artifactOwners(ids)).filter((owner) => isSameDirectory(owner.tenant, tenant))
				return new Set(named.map(({ artifact_id }) => artifact_id))
			})
			for (const failure of failures) onProblem('A file that no plan names could not be removed.', asPlanstreamError(failure))
		}
	}

	/** Sweeps in a moment; a sweep that is due then already does this work, too. */
	#sweepSoon(): void {
		if (this.#isDue) return
		this.#isDue = true
		this.#wait(SOON_MS)
	}

	#wait(delayMs: number): void {
		if (this.#stopped) return
		this.#timer?.[Symbol.dispose]()
		this.#timer = this.#options.schedule(() => {
			this.#isDue = false
			this.#wait(INTERVAL_MS)
			void this.sweep()
		}, delayMs)
	}

	/** Runs after the work under way; a failure is logged. */
	#work(work: () => Promise<void>): Promise<void> {
		this.#working = this.#working.then(work).catch((thrown: unknown) => {
			this.#options.onProblem(
				'Files of steps could not be moved or removed. The next start or sweep tries again.',
				asPlanstreamError(thrown),
			)
		})
		return this.#working
	}
}

/** Disks that ignore case keep the files of tenants such as `acme` and `ACME` in one directory. */
function isSameDirectory(one: string, other: string): boolean {
	return one.toLowerCase() === other.toLowerCase()
}

/** Lists the names in a directory; empty when there is none. */
async function list(directory: string): Promise<string[]> {
	return await readdir(directory).catch((error: unknown) => {
		if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return []
		throw error
	})
}

function* divide<Item>(items: readonly Item[]): Generator<readonly Item[]> {
	for (let from = 0; from < items.length; from += CHUNK) yield items.slice(from, from + CHUNK)
}

/** Gives a file a second name, or copies it on a disk that has no links. */
async function linkFile(from: string, to: string): Promise<void> {
	await mkdir(path.dirname(to), { recursive: true, mode: 0o700 })
	try {
		await link(from, to)
	} catch (error) {
		if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return
		const temporary = `${to}.adopted.tmp`
		await copyFile(from, temporary, constants.COPYFILE_FICLONE)
		await rename(temporary, to)
	}
}
