import { createRequire } from 'node:module'
import { Worker } from 'node:worker_threads'
import { formatCursor, type PlanSummary, PlanstreamError, type Position } from '@planstream/shared'
import { encodeEvent } from '../append.js'
import type {
	Appended,
	AppendOptions,
	ArtifactOwner,
	Dropped,
	Head,
	ListQuery,
	LogRecord,
	LogStore,
	Origin,
	Page,
	PlanKey,
	PlanPage,
	RecordPage,
	Replacement,
	RetirableQuery,
} from '../event-log.js'
import { toListColumns } from '../listing.js'
import { createClosedError, createThreadGoneError } from '../storage-errors.js'
import {
	type AppendReply,
	type Cells,
	type HeadReply,
	packRequests,
	type Replies,
	type Request,
	type RequestEnvelope,
	type StoredSummary,
	unpackAnswers,
	type WorkerOpened,
} from './messages.js'

/** Limit on pending requests; far above what 10,000 streams need. */
const MAX_WAITING = 65_536

/** Limit on requests in one message to the thread. */
const BATCH = 64

interface Waiting {
	readonly resolve: (value: Replies[keyof Replies]) => void
	readonly reject: (error: PlanstreamError) => void
}

/** Stores logs in one SQLite file that a worker thread owns. The requests of one event loop turn share one message. */
export class SqliteLog implements LogStore {
	readonly #worker: Worker
	readonly #directory: string
	readonly #waiting = new Map<number, Waiting>()
	#outbox: RequestEnvelope[] = []
	#lastId = 0
	#dropped: Dropped | null = null
	#gone: PlanstreamError | null = null
	#closed: Promise<void> | null = null

	private constructor(worker: Worker, directory: string) {
		this.#worker = worker
		this.#directory = directory
	}

	/**
	 * Opens the database in an existing directory, or creates it.
	 *
	 * @param file - script of the worker thread
	 * @defaultValue the compiled worker, which the package's import map finds from the sources, too
	 * @throws `storage_unavailable` when another process has it open, this installation has no SQLite, or the file cannot be read
	 */
	static async open(directory: string, file = createRequire(import.meta.url).resolve('#log/sqlite-worker')): Promise<SqliteLog> {
		// The process's own flags (a TypeScript loader, --input-type) do not apply to a compiled file.
		const worker = new Worker(file, { workerData: { directory }, name: 'planstream-log', execArgv: [] })
		const log = new SqliteLog(worker, directory)
		await log.#waitUntilOpen()
		return log
	}

	get dropped(): Dropped | null {
		return this.#dropped
	}

	/** Not async, so that no frame of it waits until the append is durable. */
	append(plan: PlanKey, records: readonly LogRecord[], options: AppendOptions = {}): Promise<Appended> {
		const { summary } = options
		const stored = summary ? toStored(summary) : null
		const reply = this.#ask({ kind: 'append', plan, records, expectations: options, summary: stored })
		return reply.then((appended) => toAppended(appended, records, summary))
	}

	async read(plan: PlanKey, after: Position, limit: number): Promise<Page> {
		const page = await this.#ask({ kind: 'read', plan, after, limit })
		return { ...page, head: page.head && toHead(page.head) }
	}

	async head(plan: PlanKey): Promise<Head | null> {
		const head = await this.#ask({ kind: 'head', plan })
		return head && toHead(head)
	}

	async trim(plan: PlanKey, before_seq: number, replacement: Replacement): Promise<void> {
		await this.#ask({ kind: 'trim', plan, before_seq, replacement })
	}

	async remove(plan: PlanKey): Promise<void> {
		await this.#ask({ kind: 'remove', plan })
	}

	async artifactOwners(artifact_ids: readonly string[]): Promise<readonly ArtifactOwner[]> {
		return await this.#ask({ kind: 'owners', artifact_ids })
	}

	async releasedArtifacts(limit: number): Promise<readonly ArtifactOwner[]> {
		return await this.#ask({ kind: 'released', limit })
	}

	async forgetReleased(artifacts: readonly ArtifactOwner[]): Promise<void> {
		await this.#ask({ kind: 'forget', artifacts })
	}

	async list(query: ListQuery): Promise<PlanPage> {
		return await this.#ask({ kind: 'list', query })
	}

	async unfinished(): Promise<readonly PlanKey[]> {
		return await this.#ask({ kind: 'unfinished' })
	}

	async retirable(query: RetirableQuery): Promise<readonly PlanKey[]> {
		return await this.#ask({ kind: 'retirable', query })
	}

	async records(plan: PlanKey, from_seq: number, limit: number): Promise<RecordPage | null> {
		const page = await this.#ask({ kind: 'records', plan, from_seq, limit })
		return page && { ...page, head: toHead(page.head) }
	}

	async begin(plan: PlanKey, origin: Origin | null, state_seq: number, artifacts: readonly string[] = []): Promise<void> {
		await this.#ask({ kind: 'begin', plan, origin, state_seq, artifacts })
	}

	async rename(plan: PlanKey, to: PlanKey, summary: PlanSummary): Promise<void> {
		await this.#ask({ kind: 'rename', plan, to, summary: toStored(summary) })
	}

	async probe(): Promise<void> {
		await this.#ask({ kind: 'probe' })
	}

	async assertPresent(): Promise<void> {
		await this.#ask({ kind: 'present' })
	}

	close(): Promise<void> {
		this.#closed ??= this.#close()
		return this.#closed
	}

	async #close(): Promise<void> {
		if (this.#gone) return
		const released = this.#ask({ kind: 'close' })
		this.#gone = createClosedError()
		await released
		await this.#worker.terminate()
	}

	#waitUntilOpen(): Promise<void> {
		return new Promise((resolve, reject) => {
			this.#worker.once('message', (opened: WorkerOpened) => {
				if (opened.problem) {
					reject(PlanstreamError.fromProblem(opened.problem))
					return
				}
				this.#dropped = opened.dropped
				this.#worker.on('message', (cells: Cells) => this.#take(cells))
				resolve()
			})
			const onStop = (cause: unknown): void => {
				const error = createThreadGoneError(this.#directory, cause)
				reject(error)
				this.#fail(error)
			}
			this.#worker.on('error', onStop)
			this.#worker.on('messageerror', onStop)
			this.#worker.on('exit', (code) => onStop(`exit code ${code}`))
		})
	}

	#ask<Kind extends Request['kind']>(request: Extract<Request, { kind: Kind }>): Promise<Replies[Kind]> {
		if (this.#gone) return Promise.reject(this.#gone)
		if (this.#waiting.size >= MAX_WAITING) return Promise.reject(createOverloadError())
		this.#lastId += 1
		const id = this.#lastId
		const size = this.#outbox.push({ id, request })
		if (size === 1) setImmediate(() => this.#post())
		// A full batch is sent at once, so that both threads work.
		else if (size === BATCH) this.#post()
		return new Promise((resolve, reject) => {
			// The thread answers each kind of request with its own kind of reply.
			this.#waiting.set(id, { resolve: resolve as Waiting['resolve'], reject })
		})
	}

	#post(): void {
		if (this.#outbox.length === 0) return
		const batch = this.#outbox
		this.#outbox = []
		this.#worker.postMessage(packRequests(batch))
	}

	#take(cells: Cells): void {
		for (const { id, outcome } of unpackAnswers(cells)) {
			const waiting = this.#waiting.get(id)
			this.#waiting.delete(id)
			if ('problem' in outcome) waiting?.reject(PlanstreamError.fromProblem(outcome.problem))
			else waiting?.resolve(outcome.value)
		}
	}

	#fail(error: PlanstreamError): void {
		this.#gone ??= error
		const waiting = [...this.#waiting.values()]
		this.#waiting.clear()
		for (const { reject } of waiting) reject(error)
	}
}

function toStored(summary: PlanSummary): StoredSummary {
	const { created_at, updated_at, owner, finished } = summary
	const unfinished = owner === 'managed' && !finished ? 1 : 0
	const at_rest = finished ? 'finished' : owner === 'external' ? 'open' : null
	return { json: JSON.stringify(summary), created_at, unfinished, at_rest, updated_at, ...toListColumns(summary) }
}

/** The last parsed summary: most appends leave the summary of their plan unchanged. */
let parsed: { readonly json: string; readonly summary: PlanSummary } | null = null

function parseSummary(json: string | null): PlanSummary | null {
	if (json === null) return null
	if (parsed?.json !== json) parsed = { json, summary: JSON.parse(json) as PlanSummary }
	return parsed.summary
}

function toHead(reply: HeadReply, summary = parseSummary(reply.summary)): Head {
	const { epoch, head_seq, state_seq, oldest_seq, fingerprint } = reply
	return { epoch, head_seq, state_seq, oldest_seq, fingerprint, summary }
}

function toAppended(reply: AppendReply, records: readonly LogRecord[], summary: PlanSummary | undefined): Appended {
	const { epoch } = reply.head
	const duplicate = reply.fingerprints === null
	const results = records.map(({ event_id }, index) => ({ event_id, seq: requireAt(reply.seqs, index), duplicate }))
	const events = (reply.fingerprints ?? []).map((fingerprint, index) => {
		const seq = requireAt(reply.seqs, index)
		const cursor = formatCursor({ epoch, seq, fingerprint })
		return { seq, cursor, text: encodeEvent(requireAt(records, index).text, seq, cursor) }
	})
	return { head: toHead(reply.head, duplicate ? undefined : summary), results, events }
}

function requireAt<Item>(items: readonly Item[], index: number): Item {
	const item = items[index]
	if (item === undefined)
		throw new Error(`the database thread answered ${items.length} records of a larger append; this is a bug in Planstream`)
	return item
}

function createOverloadError(): PlanstreamError {
	const message = `The database already has ${MAX_WAITING} pending requests. Try again in a moment, or find out what keeps the disk busy.`
	return new PlanstreamError('storage_unavailable', message, { limit: MAX_WAITING })
}
