import { hash, randomBytes } from 'node:crypto'
import { EMPTY_FINGERPRINT, PlanstreamError } from '@planstream/shared'
import type { Appended, AppendOptions, EventLog, Head, LogRecord, PlanKey } from './event-log.js'

/** Bytes of randomness in an epoch: 12 characters of text. */
const EPOCH_BYTES = 9

/**
 * The name of a log's life, made when the log is made. A removed and re-made log has another one.
 *
 * @param random - source of the bytes
 * @defaultValue `crypto.randomBytes`
 */
export function newEpoch(random: (size: number) => Buffer = randomBytes): string {
	return random(EPOCH_BYTES).toString('base64url')
}

/**
 * The next link of the chain: 16 hex digits that depend on every event up to this one, so that a rewritten history shows.
 *
 * @param previous - the fingerprint before the event; `EMPTY_FINGERPRINT` before the first
 * @param text - the stored text, without `seq` and `cursor`
 */
export function nextFingerprint(previous: string, event_id: string, text: string): string {
	return hash('sha1', previous + event_id + hash('sha1', text, 'hex'), 'hex').slice(0, 16)
}

/** The event as every transport sends it: the stored text with its two late fields spliced in front of the first. */
export function encodeEvent(text: string, seq: number, cursor: string): string {
	const rest = text.slice(1)
	return `{"seq":${seq},"cursor":"${cursor}"${rest === '}' ? '' : ','}${rest}`
}

/** The end of a log, which the next event continues. */
export interface LogEnd {
	readonly epoch: string
	readonly head_seq: number
	readonly state_seq: number
	readonly fingerprint: string
}

/** What a log remembers of a retained event, to know it again. */
export interface KnownEvent {
	readonly seq: number
	readonly sent_digest: string
}

/** A record with its place in the chain. */
export interface AddedEvent {
	readonly record: LogRecord
	readonly seq: number
	readonly fingerprint: string
}

export interface AppendDecision {
	/** The end of the log afterwards. */
	readonly end: LogEnd
	readonly results: Appended['results']
	/** What is to be stored; empty when all records were known. */
	readonly added: readonly AddedEvent[]
}

/**
 * What an append does to a log: first dedupe, then the expectations, then sequence and fingerprint. Reads only, so that a
 * store can refuse one append of a transaction before it wrote anything for it.
 *
 * @param log - null: the plan has no log yet
 * @param known - looks an id up among the retained events
 * @throws `bad_request` for an empty batch or an id twice in it, `conflict` for everything the log contradicts
 */
export function decideAppend(
	plan: PlanKey,
	log: LogEnd | null,
	records: readonly LogRecord[],
	options: AppendOptions,
	known: (event_id: string) => KnownEvent | null,
): AppendDecision {
	checkBatch(records)
	const duplicates = log ? findDuplicates(plan, log, records, known) : null
	if (log && duplicates) return { end: log, results: duplicates, added: [] }
	const before = log ?? { epoch: newEpoch(), head_seq: 0, state_seq: 0, fingerprint: EMPTY_FINGERPRINT }
	checkExpectations(plan, before, options)
	return extend(before, records)
}

function extend(before: LogEnd, records: readonly LogRecord[]): AppendDecision {
	let { head_seq, state_seq, fingerprint } = before
	const added = records.map((record) => {
		head_seq += 1
		if (!record.transient) state_seq = head_seq
		fingerprint = nextFingerprint(fingerprint, record.event_id, record.text)
		return { record, seq: head_seq, fingerprint }
	})
	const results = added.map(({ record, seq }) => ({ event_id: record.event_id, seq, duplicate: false }))
	return { end: { epoch: before.epoch, head_seq, state_seq, fingerprint }, results, added }
}

function checkBatch(records: readonly LogRecord[]): void {
	if (records.length === 0) {
		throw new PlanstreamError('bad_request', 'An append without records was asked for; give at least one.')
	}
	if (records.length === 1) return
	const seen = new Set<string>()
	for (const { event_id } of records) {
		if (seen.has(event_id)) {
			const message = `The batch holds event_id "${event_id}" twice; give every event of a batch an id of its own.`
			throw new PlanstreamError('bad_request', message, { event_id })
		}
		seen.add(event_id)
	}
}

/** The answer for a batch that is known as a whole; null when all of it is new. */
function findDuplicates(
	plan: PlanKey,
	log: LogEnd,
	records: readonly LogRecord[],
	known: (event_id: string) => KnownEvent | null,
): Appended['results'] | null {
	const duplicates: { event_id: string; seq: number; duplicate: true }[] = []
	for (const { event_id, sent_digest } of records) {
		const before = known(event_id)
		if (before === null) continue
		if (before.sent_digest !== sent_digest) {
			const message =
				`Plan ${plan.plan_id} holds another event under event_id "${event_id}" (seq ${before.seq}); ` +
				'an id stands for one content: send the new content under a new id.'
			throw new PlanstreamError('conflict', message, { event_id, seq: before.seq, ...numbersOf(log) })
		}
		duplicates.push({ event_id, seq: before.seq, duplicate: true })
	}
	if (duplicates.length === 0) return null
	if (duplicates.length === records.length) return duplicates
	const ids = duplicates.map(({ event_id }) => event_id)
	const message =
		`${ids.length} of the ${records.length} events are already in plan ${plan.plan_id}; ` +
		'a batch is all new or all known: repeat the identical batch, or send only the events not named in duplicates.'
	throw new PlanstreamError('conflict', message, { duplicates: ids, ...numbersOf(log) })
}

function checkExpectations(plan: PlanKey, log: LogEnd, options: AppendOptions): void {
	const { expected_seq = log.head_seq, expected_state_seq = log.state_seq } = options
	if (expected_seq !== log.head_seq) {
		const message =
			`Plan ${plan.plan_id} is at seq ${log.head_seq}, not at the expected ${expected_seq}; ` +
			'read the events since then and decide again.'
		throw new PlanstreamError('conflict', message, { expected_seq, ...numbersOf(log) })
	}
	if (expected_state_seq !== log.state_seq) {
		const message =
			`The state of plan ${plan.plan_id} last changed at seq ${log.state_seq}, not at the expected ${expected_state_seq}; ` +
			'read the events since then and decide again.'
		throw new PlanstreamError('conflict', message, { expected_state_seq, ...numbersOf(log) })
	}
}

function numbersOf({ head_seq, state_seq }: LogEnd): { head_seq: number; state_seq: number } {
	return { head_seq, state_seq }
}

/** What stands in the place of the trimmed events. */
export type Replacement = Parameters<EventLog['trim']>[2]

/**
 * Whether a trim has something to do: a log that is already trimmed as far stays as it is.
 *
 * @throws `bad_request` when the trim reaches beyond the head, where there is nothing its base could stand for
 */
export function canTrim(
	plan: PlanKey,
	{ head_seq, oldest_seq }: Pick<Head, 'head_seq' | 'oldest_seq'>,
	before_seq: number,
): boolean {
	if (before_seq > head_seq + 1) {
		const message =
			`Plan ${plan.plan_id} cannot be trimmed before seq ${before_seq}, its head is ${head_seq}; ` +
			`trim before ${head_seq + 1} at most.`
		throw new PlanstreamError('bad_request', message, { before_seq, head_seq })
	}
	return before_seq > oldest_seq
}

/** No tenant has this name; a store forgets its logs when it is opened, because whoever was making them is gone. */
export const STAGING_TENANT = '~staging'

/** Where the log of a plan is put together until it is whole and can be renamed. */
export function stagedKey({ tenant, plan_id }: PlanKey): PlanKey {
	return { tenant: STAGING_TENANT, plan_id: `${tenant}/${plan_id}` }
}

/** What a store answers when a log is to be made under a key that has one. */
export function takenError({ tenant, plan_id }: PlanKey): PlanstreamError {
	if (tenant === STAGING_TENANT) {
		const named = plan_id.slice(plan_id.indexOf('/') + 1)
		const sentence = `Plan ${named} is being imported already. Wait for that import to end.`
		return new PlanstreamError('conflict', sentence, { plan_id: named })
	}
	const sentence = `There is a plan ${plan_id} already. Delete it first, or give the other one another id.`
	return new PlanstreamError('conflict', sentence, { plan_id })
}

export function nothingToRename({ plan_id }: PlanKey): PlanstreamError {
	return new PlanstreamError('not_found', `There is no log of plan ${plan_id} to rename. It was removed in the meantime.`, {
		plan_id,
	})
}
