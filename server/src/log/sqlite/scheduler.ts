import { asPlanstreamError, type PlanstreamError } from '@planstream/shared'
import { asReadError, asWriteError } from '../storage-errors.js'
import type { ReadingRequest, Request, RequestEnvelope, Response, ResponseEnvelope, WriteRequest } from './messages.js'
import { createReadJob, type ReadJob } from './reads.js'
import type { SqliteStore } from './store.js'

/** A group commit ends at this many events or characters of text; an append is never split. */
const GROUP_EVENTS = 256
const GROUP_CHARACTERS = 262_144
/** A read turn ends at this many rows or milliseconds. */
const TURN_ROWS = 256
const TURN_MS = 5
/** Rows that a reader gets before the next reader's turn. */
const STEP_ROWS = 32
/** Events of removed and trimmed logs deleted along with each group. */
const SWEPT_EVENTS = 256

interface Reader {
	readonly id: number
	readonly job: ReadJob
}

/**
 * Shares the one connection between writers and readers: while both wait, group commits and read turns strictly alternate. It
 * never waits itself: the thread calls {@link Scheduler.commit} and {@link Scheduler.serve} while there is work.
 */
export class Scheduler {
	readonly #store: SqliteStore
	readonly #directory: string
	readonly #now: () => number
	#writes: RequestEnvelope<WriteRequest>[] = []
	readonly #readers: Reader[] = []
	readonly #refused: ResponseEnvelope[] = []
	/** Set when a sweep failed, until a write succeeds again. */
	#sweepPaused = false

	/** @param now - a clock in milliseconds */
	constructor(store: SqliteStore, directory: string, now: () => number) {
		this.#store = store
		this.#directory = directory
		this.#now = now
	}

	get hasRequests(): boolean {
		return this.#writes.length > 0 || this.#readers.length > 0 || this.#refused.length > 0
	}

	/** True while there is anything to do, including sweeps. */
	get hasWork(): boolean {
		return this.hasRequests || this.#shouldSweep
	}

	add({ id, request }: RequestEnvelope<Exclude<Request, { kind: 'close' }>>): void {
		if (isWrite(request)) this.#writes.push({ id, request })
		else this.#addReader(id, request)
	}

	/** Commits one group of the waiting writes. */
	commit(): ResponseEnvelope[] {
		const group = this.#takeGroup()
		if (group.length > 0) return this.#commitGroup(group)
		if (this.#shouldSweep) this.#sweepAlone()
		return []
	}

	/** Gives the waiting readers one turn. */
	serve(): ResponseEnvelope[] {
		const answers = this.#refused.splice(0)
		const deadline = this.#now() + TURN_MS
		let rows = TURN_ROWS
		while (rows > 0) {
			const reader = this.#readers.shift()
			if (!reader) break
			const { taken, outcome } = this.#step(reader, Math.min(rows, STEP_ROWS))
			rows -= taken
			if (outcome) answers.push({ id: reader.id, outcome })
			else this.#readers.push(reader)
			if (this.#now() >= deadline) break
		}
		return answers
	}

	get #shouldSweep(): boolean {
		return this.#store.hasDeleted && !this.#sweepPaused
	}

	#addReader(id: number, request: ReadingRequest): void {
		try {
			this.#readers.push({ id, job: createReadJob(this.#store, request) })
		} catch (error) {
			this.#refused.push({ id, outcome: toFailure(asPlanstreamError(error)) })
		}
	}

	#takeGroup(): RequestEnvelope<WriteRequest>[] {
		let events = 0
		let characters = 0
		let size = 0
		for (const { request } of this.#writes) {
			const records = request.kind === 'append' ? request.records : []
			events += Math.max(records.length, 1)
			characters += records.reduce((sum, { text }) => sum + text.length, 0)
			if (size > 0 && (events > GROUP_EVENTS || characters > GROUP_CHARACTERS)) break
			size += 1
		}
		return this.#writes.splice(0, size)
	}

	#commitGroup(group: readonly RequestEnvelope<WriteRequest>[]): ResponseEnvelope[] {
		try {
			const answers = this.#store.transaction(() => {
				const written = group.map(({ id, request }) => ({ id, outcome: this.#write(request) }))
				if (this.#shouldSweep) this.#store.sweep(SWEPT_EVENTS)
				return written
			})
			this.#sweepPaused = false
			return answers
		} catch (thrown) {
			const error = asWriteError(thrown, this.#directory)
			// The disk is not full, so one request may be the cause: retried alone, the others can succeed.
			if (error.code !== 'storage_full' && group.length > 1) return group.flatMap((envelope) => this.#commitGroup([envelope]))
			return group.map(({ id }) => ({ id, outcome: toFailure(error) }))
		}
	}

	/** Answers with a refusal; any other error is rethrown and ends the transaction. */
	#write(request: WriteRequest): Response {
		try {
			return { value: this.#store.write(request) }
		} catch (thrown) {
			const error = asPlanstreamError(thrown)
			if (error !== thrown) throw thrown
			return toFailure(error)
		}
	}

	#sweepAlone(): void {
		try {
			this.#store.transaction(() => this.#store.sweep(SWEPT_EVENTS))
		} catch {
			// No request waits for a sweep and deleted events are invisible; the next successful write resumes it.
			this.#sweepPaused = true
		}
	}

	#step({ job }: Reader, rows: number): { taken: number; outcome: Response | null } {
		try {
			const { rows: taken, reply } = job.step(rows)
			return { taken, outcome: reply === undefined ? null : { value: reply } }
		} catch (thrown) {
			return { taken: 1, outcome: toFailure(asReadError(thrown, this.#directory)) }
		}
	}
}

const WRITES: ReadonlySet<Request['kind']> = new Set(['append', 'trim', 'remove', 'begin', 'rename', 'forget', 'probe'])

function isWrite(request: Exclude<Request, { kind: 'close' }>): request is WriteRequest {
	return WRITES.has(request.kind)
}

function toFailure(error: PlanstreamError): Response {
	return { problem: error.toProblem() }
}
