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
import { ARCHIVE_VERSION, type ArchiveHead } from '@planstream/shared/schemas'
import { computeFingerprint, createTakenError, toStagedKey } from '../log/append.js'
import type { EventLog, Head, LogRecord, Origin, PlanKey, RecordPage } from '../log/event-log.js'
import { foldOfSnapshot } from './fold-cache.js'
import { foldEvent, initialFold, type PlanFold, summarise } from './plan-fold.js'
import { unknownPlan } from './stream.js'

const PAGE = 256

/** The files that the steps of plans have made. */
export interface KeptFiles {
	/** Which ones a plan has. */
	readonly ids: () => Promise<readonly string[]>
	/** The content of one, null when it is not there any more. */
	readonly open: (id: string) => Promise<AsyncIterable<Uint8Array> | null>
}

/**
 * The log of a plan as lines of JSON: its head, its records as they are stored, its files in pieces, an end.
 *
 * @throws PlanstreamError `not_found`; `conflict` when the plan is trimmed or removed meanwhile, and then there is no end
 */
export async function* archivePlan(log: EventLog, plan: PlanKey, files: KeptFiles): AsyncGenerator<string, void, void> {
	const first = await log.records(plan, 0, PAGE)
	const summary = first?.head.summary ?? null
	if (first === null || summary === null) throw unknownPlan(plan.plan_id)
	const { head, origin } = first
	yield `${JSON.stringify(headLine(plan, head, summary, origin))}\n`
	let seq = head.oldest_seq - 1
	for (let page: RecordPage | null = first; seq < head.head_seq; page = await log.records(plan, seq + 1, PAGE)) {
		for (const { seq: next, fingerprint, sent_digest, text } of recordsBehind(plan, seq, head, page)) {
			if (next > head.head_seq) break
			yield `{"seq":${next},"fingerprint":"${fingerprint}","sent_digest":"${sent_digest}","event":${text}}\n`
			seq = next
		}
	}
	const kept = yield* fileLines(files)
	yield `${JSON.stringify({ end: true, events: head.head_seq - head.oldest_seq + 1, files: kept })}\n`
}

/** @returns how many files there were */
async function* fileLines({ ids, open }: KeptFiles): AsyncGenerator<string, number, void> {
	let kept = 0
	for (const file of await ids()) {
		const content = await open(file)
		if (content === null) continue
		kept += 1
		const head = `${JSON.stringify({ file })}\n`
		let isBegun = false
		// Whoever wants no more after any of these lines leaves the loop, which closes the file.
		for await (const bytes of content) {
			if (!isBegun) yield head
			isBegun = true
			yield `{"base64":"${Buffer.from(bytes).toString('base64')}"}\n`
		}
		if (!isBegun) yield head
	}
	return kept
}

function headLine({ plan_id }: PlanKey, head: Head, { owner }: PlanSummary, origin: RecordPage['origin']): ArchiveHead {
	const { head_seq, state_seq, fingerprint } = head
	return { planstream_archive: ARCHIVE_VERSION, plan_id, owner, head_seq, state_seq, fingerprint, origin }
}

function recordsBehind({ plan_id }: PlanKey, seq: number, { epoch }: Head, page: RecordPage | null): RecordPage['records'] {
	if (page?.head.epoch === epoch && page.records[0]?.seq === seq + 1) return page.records
	const sentence = `Plan ${plan_id} was trimmed or removed while it was exported. Export it again.`
	throw new PlanstreamError('conflict', sentence, { plan_id, seq })
}

/** Records of one append, and the characters after which it is closed. */
const BATCH = 256
const BATCH_CHARACTERS = 1_048_576

/** What a line of an archive says of an event. */
export interface ArchivedRecord {
	readonly seq: number
	readonly fingerprint: string
	readonly sent_digest: string
	/** The event as it is stored. */
	readonly text: string
	readonly event: Omit<PlanEvent, 'seq' | 'cursor'>
}

/** An archive, read as far as its head. */
export interface Archive {
	readonly head: ArchiveHead
	/** Throws where the archive is not well formed or has no end. */
	readonly records: AsyncIterable<ArchivedRecord>
}

/**
 * Makes a plan of an archive: the same numbers, ids, times, owner and fingerprints, under a new epoch. Nobody sees the plan until it is
 * whole; what goes wrong leaves nothing behind.
 *
 * @param now - the time of the import (ISO 8601), from which retention counts
 * @throws PlanstreamError `conflict` when there is such a plan, `bad_request` when the archive contradicts itself, and what its records throw
 */
export async function restorePlan(log: EventLog, tenant: string, { head, records }: Archive, now: string): Promise<ImportOutput> {
	const plan = { tenant, plan_id: head.plan_id }
	const staged = toStagedKey(plan)
	await assertFree(log, plan)
	await log.begin(staged, head.origin, Math.min(head.state_seq, head.origin?.seq ?? 0))
	try {
		const restoring = new Restoring(log, staged, head)
		for await (const record of records) await restoring.add(record)
		const fold = await restoring.end()
		await log.rename(staged, plan, summarise(fold.state, now))
	} catch (error) {
		await log.remove(staged)
		throw error
	}
	const made = await log.head(plan)
	if (made === null) throw new PlanstreamError('conflict', `Plan ${head.plan_id} was removed at once.`, { plan_id: head.plan_id })
	const { epoch, head_seq, oldest_seq, fingerprint } = made
	const cursor = formatCursor({ epoch, seq: head_seq, fingerprint })
	return { plan_id: head.plan_id, events: head_seq - oldest_seq + 1, head_seq, cursor }
}

/** Says before any work what the end would refuse. */
async function assertFree(log: EventLog, plan: PlanKey): Promise<void> {
	if ((await log.head(plan)) !== null) throw createTakenError(plan)
}

/** The log of an archive as far as it has been added. */
class Restoring {
	readonly #log: EventLog
	readonly #staged: PlanKey
	readonly #head: ArchiveHead
	#fold: PlanFold
	#batch: LogRecord[] = []
	#characters = 0
	#last: { readonly seq: number; readonly fingerprint: string }

	constructor(log: EventLog, staged: PlanKey, head: ArchiveHead) {
		this.#log = log
		this.#staged = staged
		this.#head = head
		this.#last = head.origin ?? { seq: 0, fingerprint: EMPTY_FINGERPRINT }
		this.#fold = head.origin === null ? initialFold(head.plan_id, head.owner) : foldOf(head, head.origin)
	}

	async add({ seq, fingerprint, sent_digest, text, event }: ArchivedRecord): Promise<void> {
		const { plan_id } = this.#head
		if (seq !== this.#last.seq + 1) throw broken(`event ${this.#last.seq + 1} of plan ${plan_id} is not where it should be`)
		if (event.plan_id !== plan_id) throw broken(`event ${seq} is of plan ${event.plan_id}, not of ${plan_id}`)
		if (fingerprint !== computeFingerprint(this.#last.fingerprint, event.event_id, text)) {
			throw broken(`event ${seq} of plan ${plan_id} does not have its fingerprint`)
		}
		this.#last = { seq, fingerprint }
		this.#fold = foldEvent(this.#fold, { ...event, seq, cursor: '' } as PlanEvent)
		this.#batch.push({ event_id: event.event_id, text, sent_digest, transient: TRANSIENT_EVENT_TYPES.has(event.event_type) })
		this.#characters += text.length
		if (this.#batch.length >= BATCH || this.#characters >= BATCH_CHARACTERS) await this.#append()
	}

	/** The fold of the whole log, once all of it is durable. */
	async end(): Promise<PlanFold> {
		if (this.#batch.length > 0) await this.#append()
		const { head_seq, fingerprint, plan_id } = this.#head
		if (this.#last.seq === head_seq && this.#last.fingerprint === fingerprint) return this.#fold
		throw broken(`plan ${plan_id} should end with event ${head_seq} and ends with ${this.#last.seq}`)
	}

	async #append(): Promise<void> {
		const expected_seq = this.#last.seq - this.#batch.length
		await this.#log.append(this.#staged, this.#batch, { expected_seq })
		this.#batch = []
		this.#characters = 0
	}
}

function foldOf({ plan_id, owner }: ArchiveHead, { base, seq, fingerprint }: Origin): PlanFold {
	const fold = wholeFold(base, plan_id, { epoch: '-', seq, fingerprint })
	if (fold.state.plan_id === plan_id && fold.state.owner === owner) return fold
	throw broken(`what stands for the trimmed events is that of another plan than ${plan_id}`)
}

function wholeFold(base: string, plan_id: string, at: FullCursor): PlanFold {
	try {
		return foldOfSnapshot(base, { plan_id }, at)
	} catch (cause) {
		throw broken(`what stands for the trimmed events of plan ${plan_id} was changed`, cause)
	}
}

function broken(what: string, cause?: unknown): PlanstreamError {
	return new PlanstreamError(
		'bad_request',
		`The archive is not what was exported: ${what}. Export the plan again.`,
		{},
		{ cause },
	)
}
