import {
	EMPTY_FINGERPRINT,
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
import { foldEvent, initialFold, type PlanFold, summarise, unknownPlan } from './plan-fold.js'
import { decodeForeignSnapshot } from './snapshot-schema.js'

const PAGE = 256

/** Artifacts of a plan. */
export interface KeptFiles {
	readonly ids: () => Promise<readonly string[]>
	/** Content of an artifact; null when it no longer exists. */
	readonly open: (id: string) => Promise<AsyncIterable<Uint8Array> | null>
}

/**
 * Exports a plan as lines of JSON: its head, its records as stored, its artifacts in chunks, and an end line.
 *
 * @throws PlanstreamError `not_found`; `conflict` when the plan is trimmed or removed meanwhile, which leaves the export without its end line
 */
export async function* archivePlan(log: EventLog, plan: PlanKey, files: KeptFiles): AsyncGenerator<string, void, void> {
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
	const kept = yield* exportFiles(files)
	yield `${JSON.stringify({ end: true, events: head.head_seq - head.oldest_seq + 1, files: kept })}\n`
}

/** @returns the number of artifacts */
async function* exportFiles({ ids, open }: KeptFiles): AsyncGenerator<string, number, void> {
	let kept = 0
	for (const file of await ids()) {
		const content = await open(file)
		if (content === null) continue
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
	return { planstream_archive: ARCHIVE_VERSION, plan_id, owner, head_seq, state_seq, fingerprint, origin }
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
}

/**
 * Imports a plan from an archive with the same sequence numbers, ids, times, owner and fingerprints, under a new epoch. The plan becomes
 * visible once it is complete; a failed import leaves nothing behind.
 *
 * @param now - the time of the import (ISO 8601), from which retention counts
 * @throws PlanstreamError `conflict` when the plan exists, `bad_request` when the archive contradicts itself, and errors of `records`
 */
export async function restorePlan(log: EventLog, tenant: string, { head, records }: Archive, now: string): Promise<ImportOutput> {
	const plan = { tenant, plan_id: head.plan_id }
	const staged = toStagedKey(plan)
	// Fails early; `rename` checks again.
	if ((await log.head(plan)) !== null) throw createTakenError(plan)
	await log.begin(staged, head.origin, Math.min(head.state_seq, head.origin?.seq ?? 0))
	try {
		const staging = new Import(log, staged, head)
		for await (const record of records) await staging.add(record)
		const fold = await staging.finish()
		await log.rename(staged, plan, summarise(fold.state, now))
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
	return { plan_id: head.plan_id, events: head_seq - oldest_seq + 1, head_seq, cursor }
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

	async add({ seq, fingerprint, sent_digest, text, event }: ArchivedRecord): Promise<void> {
		const { plan_id } = this.#head
		if (seq !== this.#last.seq + 1) throw archiveError(`event ${this.#last.seq + 1} of plan ${plan_id} is missing`)
		if (event.plan_id !== plan_id) throw archiveError(`event ${seq} belongs to plan ${event.plan_id}, not to ${plan_id}`)
		if (fingerprint !== computeFingerprint(this.#last.fingerprint, event.event_id, text)) {
			throw archiveError(`event ${seq} of plan ${plan_id} does not match its fingerprint`)
		}
		this.#last = { seq, fingerprint }
		this.#fold = foldForeign(this.#fold, { ...event, seq, cursor: '' } as PlanEvent)
		if (this.#fold.state.steps.length > MAX_STEPS) throw archiveError(`plan ${plan_id} has more than ${MAX_STEPS} steps`)
		if (!TRANSIENT_EVENT_TYPES.has(event.event_type)) this.#stateSeq = seq
		this.#batch.push({ event_id: event.event_id, text, sent_digest, transient: TRANSIENT_EVENT_TYPES.has(event.event_type) })
		this.#characters += text.length
		if (this.#batch.length >= BATCH || this.#characters >= BATCH_CHARACTERS) await this.#append()
	}

	/** Appends the remaining records and returns the fold of the whole log. */
	async finish(): Promise<PlanFold> {
		if (this.#batch.length > 0) await this.#append()
		const { head_seq, state_seq, fingerprint, plan_id } = this.#head
		if (state_seq !== this.#stateSeq) throw archiveError(`the state of plan ${plan_id} is not that of event ${state_seq}`)
		if (this.#last.seq === head_seq && this.#last.fingerprint === fingerprint) return this.#fold
		throw archiveError(`plan ${plan_id} ends with event ${this.#last.seq} instead of ${head_seq}`)
	}

	async #append(): Promise<void> {
		const expected_seq = this.#last.seq - this.#batch.length
		await this.#log.append(this.#staged, this.#batch, { expected_seq })
		this.#batch = []
		this.#characters = 0
	}
}

/** Events may fit their schemas and still contradict each other. */
function foldForeign(fold: PlanFold, event: PlanEvent): PlanFold {
	try {
		return foldEvent(fold, event)
	} catch (cause) {
		throw archiveError(`event ${event.seq} of plan ${event.plan_id} does not follow from those before it`, cause)
	}
}

function decodeOrigin({ plan_id, owner }: ArchiveHead, { base, seq, fingerprint }: Origin): PlanFold {
	const fold = decodeBase(base, plan_id, { epoch: '-', seq, fingerprint })
	if (fold.state.plan_id === plan_id && fold.state.owner === owner) return fold
	throw archiveError(`the snapshot belongs to another plan than ${plan_id}`)
}

function decodeBase(base: string, plan_id: string, at: FullCursor): PlanFold {
	try {
		return decodeForeignSnapshot(base, plan_id, at)
	} catch (cause) {
		if (cause instanceof PlanstreamError && cause.code === 'bad_request') throw cause
		throw archiveError(`the snapshot of plan ${plan_id} was changed`, cause)
	}
}

function archiveError(what: string, cause?: unknown): PlanstreamError {
	return new PlanstreamError(
		'bad_request',
		`The archive was changed after its export: ${what}. Export the plan again.`,
		{},
		{ cause },
	)
}
