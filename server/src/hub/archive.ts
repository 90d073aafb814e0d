import {
	type Actor,
	EMPTY_FINGERPRINT,
	escapeLineEnds,
	type FullCursor,
	formatCursor,
	type ImportOutput,
	type PlanEvent,
	type PlanSummary,
	PlanstreamError,
	TRANSIENT_EVENT_TYPES,
} from '@planstream/shared'
import { ARCHIVE_VERSION, type ArchiveHead, MAX_STEPS } from '@planstream/shared/schemas'
import { computeFingerprint, createTakenError, toStagedKey } from '../log/append.js'
import type { EventLog, Head, LogRecord, Origin, PlanKey, RecordPage } from '../log/event-log.js'
import { ArchiveDigest, type ArchiveKey } from './archive-signature.js'
import { refuseOversized } from './fold-cache.js'
import { foldEvent, initialFold, type PlanFold, summarise, unknownPlan } from './plan-fold.js'
import { decodeForeignSnapshot, findFoldFault } from './snapshot-schema.js'
import { carryStateSize } from './state-size.js'
import { nameArtifacts } from './writer.js'

const PAGE = 256

/** The files of a plan, and the key that signs its export. */
export interface ExportSource {
	/** Lists the artifacts that the events up to a sequence number name. */
	readonly ids: (seq: number) => Promise<readonly string[]>
	/** Content of an artifact; null when it no longer exists. */
	readonly open: (id: string) => Promise<AsyncIterable<Uint8Array> | null>
	readonly key: ArchiveKey
}

/**
 * Exports a plan as lines of JSON: its head, its records as stored, its artifacts in chunks, an end line, and the signature of all of them.
 *
 * @throws PlanstreamError `not_found`; `conflict` when the plan is trimmed or removed meanwhile, which leaves the export without its end line
 */
export async function* archivePlan(log: EventLog, plan: PlanKey, source: ExportSource): AsyncGenerator<string, void, void> {
	const digest = new ArchiveDigest()
	for await (const json of archiveLines(log, plan, source)) {
		const line = escapeLineEnds(json)
		digest.add(line)
		yield line
	}
	yield `${JSON.stringify(source.key.sign(digest, plan.tenant))}\n`
}

async function* archiveLines(log: EventLog, plan: PlanKey, source: ExportSource): AsyncGenerator<string, void, void> {
	const first = await log.records(plan, 0, PAGE)
	const summary = first?.head.summary ?? null
	if (first === null || summary === null) throw unknownPlan(plan.plan_id)
	const { head, origin } = first
	yield `${JSON.stringify(toHeadLine(plan, head, summary, origin))}\n`
	let seq = head.oldest_seq - 1
	for (let page: RecordPage | null = first; seq < head.head_seq; page = await log.records(plan, seq + 1, PAGE)) {
		for (const { seq: next, fingerprint, sent_digest, text } of takeRecordsAfter(plan, seq, head, page)) {
			if (next > head.head_seq) break
			yield `{"seq":${next},"fingerprint":"${fingerprint}","sent_digest":"${sent_digest}","event":${text}}\n`
			seq = next
		}
	}
	const kept = yield* exportFiles(await source.ids(head.head_seq), source.open)
	yield `${JSON.stringify({ end: true, events: head.head_seq - head.oldest_seq + 1, files: kept })}\n`
}

/** @returns the number of artifacts with their content */
async function* exportFiles(ids: readonly string[], open: ExportSource['open']): AsyncGenerator<string, number, void> {
	let kept = 0
	for (const file of ids) {
		const content = await open(file)
		if (content === null) {
			yield `${JSON.stringify({ file, lost: true })}\n`
			continue
		}
		kept += 1
		const head = `${JSON.stringify({ file })}\n`
		let isBegun = false
		// A consumer that stops at any of these lines leaves the loop, which closes the file.
		for await (const bytes of content) {
			if (!isBegun) yield head
			isBegun = true
			yield `{"base64":"${Buffer.from(bytes).toString('base64')}"}\n`
		}
		if (!isBegun) yield head
	}
	return kept
}

function toHeadLine({ plan_id }: PlanKey, head: Head, { owner }: PlanSummary, origin: RecordPage['origin']): ArchiveHead {
	const { head_seq, state_seq, fingerprint } = head
	// The order of the fields is fixed, so that the export of an import is the same bytes.
	const kept = origin && { seq: origin.seq, fingerprint: origin.fingerprint, base: origin.base, reason: origin.reason }
	return { planstream_archive: ARCHIVE_VERSION, plan_id, owner, head_seq, state_seq, fingerprint, origin: kept }
}

function takeRecordsAfter({ plan_id }: PlanKey, seq: number, { epoch }: Head, page: RecordPage | null): RecordPage['records'] {
	if (page?.head.epoch === epoch && page.records[0]?.seq === seq + 1) return page.records
	const message = `Plan ${plan_id} was trimmed or removed during the export. Export it again.`
	throw new PlanstreamError('conflict', message, { plan_id, seq })
}

/** Maximum records per append, and the characters after which an append is sent. */
const BATCH = 256
const BATCH_CHARACTERS = 1_048_576

/** An event as a line of an archive holds it. */
export interface ArchivedRecord {
	/** Number of its line. */
	readonly line: number
	readonly seq: number
	readonly fingerprint: string
	readonly sent_digest: string
	/** The event as stored. */
	readonly text: string
	readonly event: Omit<PlanEvent, 'seq' | 'cursor'>
}

/** An archive whose head has been read. */
export interface Archive {
	readonly head: ArchiveHead
	/** Throws when the archive is malformed or has no end line. */
	readonly records: AsyncIterable<ArchivedRecord>
	/**
	 * Decides on the whole plan before it becomes visible, and puts its files in their place.
	 *
	 * @returns whether a trusted key has signed the archive
	 * @throws PlanstreamError to refuse the import
	 */
	readonly admit: (fold: PlanFold) => Promise<boolean>
}

/** The circumstances of an import. */
export interface ImportFacts {
	readonly tenant: string
	readonly actor: Actor
	/** The time of the import (ISO 8601), from which retention counts. */
	readonly now: string
}

/**
 * Imports a plan from an archive with the same sequence numbers, ids, times, owner and fingerprints, under a new epoch. The plan becomes
 * visible once it is complete; a failed import leaves nothing behind.
 *
 * @throws PlanstreamError `conflict` when the plan exists, `bad_request` when the archive contradicts itself, `too_large`, and errors of the archive
 */
export async function restorePlan(log: EventLog, archive: Archive, { tenant, actor, now }: ImportFacts): Promise<ImportOutput> {
	const { head, records } = archive
	const plan = { tenant, plan_id: head.plan_id }
	const staged = toStagedKey(plan)
	// Fails early; `rename` checks again.
	if ((await log.head(plan)) !== null) throw createTakenError(plan)
	const staging = new Import(log, staged, head)
	await staging.begin()
	let signed: boolean
	try {
		for await (const record of records) await staging.add(record)
		const fold = await staging.finish()
		signed = await archive.admit(fold)
		const origin = { imported_by: actor, imported_at: now, signed }
		await log.rename(staged, plan, summarise({ ...fold.state, origin }, now))
	} catch (error) {
		await log.remove(staged)
		throw error
	}
	const made = await log.head(plan)
	if (made === null) {
		const message = `Plan ${head.plan_id} was deleted right after its import. Import it again.`
		throw new PlanstreamError('conflict', message, { plan_id: head.plan_id })
	}
	const { epoch, head_seq, oldest_seq, fingerprint } = made
	const cursor = formatCursor({ epoch, seq: head_seq, fingerprint })
	return { plan_id: head.plan_id, events: head_seq - oldest_seq + 1, head_seq, cursor, signed }
}

/** Appends the records of an archive to a staged log, and checks each against its fingerprint. */
class Import {
	readonly #log: EventLog
	readonly #staged: PlanKey
	readonly #head: ArchiveHead
	#fold: PlanFold
	#batch: LogRecord[] = []
	#characters = 0
	/** Sequence number of the newest event that is not transient. */
	#stateSeq: number
	#last: { readonly seq: number; readonly fingerprint: string }

	constructor(log: EventLog, staged: PlanKey, head: ArchiveHead) {
		this.#log = log
		this.#staged = staged
		this.#head = head
		this.#last = head.origin ?? { seq: 0, fingerprint: EMPTY_FINGERPRINT }
		this.#stateSeq = Math.min(head.state_seq, this.#last.seq)
		this.#fold = head.origin === null ? initialFold(head.plan_id, head.owner) : decodeOrigin(head, head.origin)
	}

	async begin(): Promise<void> {
		const { origin, state_seq } = this.#head
		await this.#log.begin(this.#staged, origin, Math.min(state_seq, origin?.seq ?? 0), Object.keys(this.#fold.artifacts))
	}

	async add({ line, seq, fingerprint, sent_digest, text, event }: ArchivedRecord): Promise<void> {
		const { plan_id } = this.#head
		if (seq !== this.#last.seq + 1) throw archiveError(`event ${this.#last.seq + 1} of plan ${plan_id} is missing`, line)
		if (event.plan_id !== plan_id) throw archiveError(`event ${seq} belongs to plan ${event.plan_id}, not to ${plan_id}`, line)
		if (fingerprint !== computeFingerprint(this.#last.fingerprint, event.event_id, text)) {
			throw archiveError(`event ${seq} of plan ${plan_id} does not match its fingerprint`, line)
		}
		if (this.#head.owner === 'external' && event.command !== undefined) {
			throw archiveError(`event ${seq} answers a command, which a plan that runs elsewhere does not take`, line)
		}
		this.#last = { seq, fingerprint }
		this.#fold = foldForeign(this.#fold, { ...event, seq, cursor: '' } as PlanEvent, line)
		this.#assertSize(line)
		if (!TRANSIENT_EVENT_TYPES.has(event.event_type)) this.#stateSeq = seq
		const record = { event_id: event.event_id, text, sent_digest, transient: TRANSIENT_EVENT_TYPES.has(event.event_type) }
		this.#batch.push(this.#head.owner === 'managed' ? nameArtifacts({ record, event }) : record)
		this.#characters += text.length
		if (this.#batch.length >= BATCH || this.#characters >= BATCH_CHARACTERS) await this.#append(line)
	}

	/** Appends the remaining records and returns the fold of the whole log. */
	async finish(): Promise<PlanFold> {
		if (this.#batch.length > 0) await this.#append(null)
		const { head_seq, state_seq, fingerprint, plan_id, owner } = this.#head
		if (state_seq !== this.#stateSeq)
			throw archiveError(`the state of plan ${plan_id} is not that of event ${state_seq}`, HEAD_LINE)
		if (this.#last.seq !== head_seq || this.#last.fingerprint !== fingerprint) {
			throw archiveError(`plan ${plan_id} ends with event ${this.#last.seq} instead of ${head_seq}`, HEAD_LINE)
		}
		if (owner === 'managed' && this.#fold.plan === null) {
			throw archiveError(`plan ${plan_id} is said to run on a server, but no event holds its graph`, HEAD_LINE)
		}
		const fault = findFoldFault(this.#fold)
		if (fault !== null) throw archiveError(`the events of plan ${plan_id} do not make a whole state: ${fault}`, HEAD_LINE)
		return this.#fold
	}

	#assertSize(line: number): void {
		const { plan_id, state } = { plan_id: this.#head.plan_id, state: this.#fold.state }
		if (state.steps.length > MAX_STEPS) throw archiveError(`plan ${plan_id} has more than ${MAX_STEPS} steps`, line)
		const refusal = refuseOversized(state)
		if (refusal !== null) throw new PlanstreamError('too_large', refusal.message, { ...refusal.facts, line })
	}

	/** @param line - the line of the newest record; null behind the last one */
	async #append(line: number | null): Promise<void> {
		const expected_seq = this.#last.seq - this.#batch.length
		const appended = await this.#log.append(this.#staged, this.#batch, { expected_seq }).catch((error: unknown) => {
			if (error instanceof PlanstreamError && error.code === 'conflict') throw this.#createRepeatError(line, error)
			throw error
		})
		// A log answers a batch that it has already like the first time.
		if (appended.head.head_seq !== this.#last.seq) throw this.#createRepeatError(line)
		this.#batch = []
		this.#characters = 0
	}

	#createRepeatError(line: number | null, cause?: unknown): PlanstreamError {
		const what = `two of the events up to ${this.#last.seq} of plan ${this.#head.plan_id} have the same id`
		return archiveError(what, line ?? HEAD_LINE, cause)
	}
}

/** Events may fit their schemas and still contradict each other. */
function foldForeign(fold: PlanFold, event: PlanEvent, line: number): PlanFold {
	try {
		const next = foldEvent(fold, event)
		carryStateSize(fold.state, next.state, event.step_id)
		return next
	} catch (cause) {
		throw archiveError(`event ${event.seq} of plan ${event.plan_id} does not follow from those before it`, line, cause)
	}
}

function decodeOrigin({ plan_id, owner }: ArchiveHead, { base, seq, fingerprint }: Origin): PlanFold {
	const fold = decodeBase(base, plan_id, { epoch: '-', seq, fingerprint })
	if (fold.state.plan_id === plan_id && fold.state.owner === owner) return fold
	throw archiveError(`the snapshot belongs to another plan than ${plan_id}`, HEAD_LINE)
}

function decodeBase(base: string, plan_id: string, at: FullCursor): PlanFold {
	try {
		return decodeForeignSnapshot(base, plan_id, at)
	} catch (cause) {
		if (cause instanceof PlanstreamError && cause.code === 'bad_request') throw cause
		throw archiveError(`the snapshot of plan ${plan_id} was changed`, HEAD_LINE, cause)
	}
}

/** Number of the line with the head. */
const HEAD_LINE = 1

function archiveError(what: string, line: number, cause?: unknown): PlanstreamError {
	const message = `The archive was changed after its export: ${what} (line ${line}). Export the plan again.`
	return new PlanstreamError('bad_request', message, { line }, { cause })
}
