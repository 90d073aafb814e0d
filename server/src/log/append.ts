import { hash, randomBytes } from 'node:crypto'
import { EMPTY_FINGERPRINT, PlanstreamError } from '@planstream/shared'
import type { Appended, AppendOptions, Head, LogRecord, PlanKey } from './event-log.js'

/** Bytes of randomness in an epoch: 12 characters of text. */
const EPOCH_BYTES = 9

/**
 * Makes the identifier of a new log. A log that is removed and created again gets another one.
 *
 * @param random - source of random bytes
 * @defaultValue `crypto.randomBytes`
 */
export function createEpoch(random: (size: number) => Buffer = randomBytes): string {
	return random(EPOCH_BYTES).toString('base64url')
}

/**
 * Computes the next link of the chain: 16 hex digits that depend on every event so far, so that a rewritten history is detected.
 *
 * @param previous - the fingerprint before the event; `EMPTY_FINGERPRINT` before the first
 * @param text - the stored text, without `seq` and `cursor`
 */
export function computeFingerprint(previous: string, event_id: string, text: string): string {
	return hash('sha1', previous + event_id + hash('sha1', text, 'hex'), 'hex').slice(0, 16)
}

/** Encodes an event as every transport sends it: the stored text with `seq` and `cursor` spliced in front. */
export function encodeEvent(text: string, seq: number, cursor: string): string {
	const rest = text.slice(1)
	return `{"seq":${seq},"cursor":"${cursor}"${rest === '}' ? '' : ','}${rest}`
}

/** The end of a log, where the next event is added. */
export interface LogEnd {
	readonly epoch: string
	readonly head_seq: number
	readonly state_seq: number
	readonly fingerprint: string
}

/** The facts of a retained event that identify a duplicate. */
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
	/** The events to store; empty when all records were duplicates. */
	readonly added: readonly AddedEvent[]
}

/**
 * Decides an append: first dedupe, then the expectations, then sequence and fingerprint. It only reads, so a store can refuse
 * one append of a transaction before it has written anything for it.
 *
 * @param log - null when the plan has no log yet
 * @param known - looks an id up among the retained events
 * @throws `bad_request` for an empty batch or a repeated id, `conflict` when the log contradicts the records or expectations
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
	const before = log ?? { epoch: createEpoch(), head_seq: 0, state_seq: 0, fingerprint: EMPTY_FINGERPRINT }
	checkExpectations(plan, before, options)
	return extend(before, records)
}

function extend(before: LogEnd, records: readonly LogRecord[]): AppendDecision {
	let { head_seq, state_seq, fingerprint } = before
	const added = records.map((record) => {
		head_seq += 1
		if (!record.transient) state_seq = head_seq
		fingerprint = computeFingerprint(fingerprint, record.event_id, record.text)
		return { record, seq: head_seq, fingerprint }
	})
	const results = added.map(({ record, seq }) => ({ event_id: record.event_id, seq, duplicate: false }))
	return { end: { epoch: before.epoch, head_seq, state_seq, fingerprint }, results, added }
}

function checkBatch(records: readonly LogRecord[]): void {
	if (records.length === 0) {
		throw new PlanstreamError('bad_request', 'The append has no records. Send at least one.')
	}
	if (records.length === 1) return
	const seen = new Set<string>()
	for (const { event_id } of records) {
		if (seen.has(event_id)) {
			const message = `The batch contains event_id "${event_id}" twice. Give every event of a batch its own id.`
			throw new PlanstreamError('bad_request', message, { event_id })
		}
		seen.add(event_id)
	}
}

/** Returns the results for a batch that is already stored as a whole; null when all of it is new. */
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
				`Plan ${plan.plan_id} already has a different event with event_id "${event_id}" (seq ${before.seq}). ` +
				'Send the new content with a new id.'
			throw new PlanstreamError('conflict', message, { event_id, seq: before.seq, ...pickSeqs(log) })
		}
		duplicates.push({ event_id, seq: before.seq, duplicate: true })
	}
	if (duplicates.length === 0) return null
	if (duplicates.length === records.length) return duplicates
	const ids = duplicates.map(({ event_id }) => event_id)
	const message =
		`${ids.length} of the ${records.length} events are already in plan ${plan.plan_id}; a batch must be all new or all stored. ` +
		'Repeat the identical batch, or leave out the events listed in duplicates.'
	throw new PlanstreamError('conflict', message, { duplicates: ids, ...pickSeqs(log) })
}

function checkExpectations(plan: PlanKey, log: LogEnd, options: AppendOptions): void {
	const { expected_seq = log.head_seq, expected_state_seq = log.state_seq } = options
	if (expected_seq !== log.head_seq) {
		const message =
			`Plan ${plan.plan_id} is at seq ${log.head_seq}, not at the expected ${expected_seq}. ` +
			'Read the newer events and try again.'
		throw new PlanstreamError('conflict', message, { expected_seq, ...pickSeqs(log) })
	}
	if (expected_state_seq !== log.state_seq) {
		const message =
			`The state of plan ${plan.plan_id} last changed at seq ${log.state_seq}, not at the expected ${expected_state_seq}. ` +
			'Read the newer events and try again.'
		throw new PlanstreamError('conflict', message, { expected_state_seq, ...pickSeqs(log) })
	}
}

function pickSeqs({ head_seq, state_seq }: LogEnd): { head_seq: number; state_seq: number } {
	return { head_seq, state_seq }
}

/**
 * Tells whether a trim has anything to do: a log that is already trimmed that far stays unchanged.
 *
 * @throws `bad_request` when the trim reaches beyond the head, where there are no events for its base to replace
 */
export function canTrim(
	plan: PlanKey,
	{ head_seq, oldest_seq }: Pick<Head, 'head_seq' | 'oldest_seq'>,
	before_seq: number,
): boolean {
	if (before_seq > head_seq + 1) {
		const message =
			`Plan ${plan.plan_id} cannot be trimmed before seq ${before_seq}: its head is ${head_seq}. ` +
			`Trim before ${head_seq + 1} at most.`
		throw new PlanstreamError('bad_request', message, { before_seq, head_seq })
	}
	return before_seq > oldest_seq
}

/** Holds unfinished logs; no tenant has this name. A store removes them when it opens: the process that built them is gone. */
export const STAGING_TENANT = '~staging'

/** Returns the key under which the log of a plan is built until it is complete and can be renamed. */
export function toStagedKey({ tenant, plan_id }: PlanKey): PlanKey {
	return { tenant: STAGING_TENANT, plan_id: `${tenant}/${plan_id}` }
}

/** Returns the tenant of a plan, also while its log is being built. */
export function getTenant({ tenant, plan_id }: PlanKey): string {
	return tenant === STAGING_TENANT ? plan_id.slice(0, plan_id.indexOf('/')) : tenant
}

/** Reports that the key of a new log is already in use. */
export function createTakenError({ tenant, plan_id }: PlanKey): PlanstreamError {
	if (tenant === STAGING_TENANT) {
		const named = plan_id.slice(plan_id.indexOf('/') + 1)
		const message = `Plan ${named} is already being imported. Wait for that import to finish.`
		return new PlanstreamError('conflict', message, { plan_id: named })
	}
	const message = `Plan ${plan_id} already exists. Delete it first, or use another id.`
	return new PlanstreamError('conflict', message, { plan_id })
}

export function createMissingLogError({ plan_id }: PlanKey): PlanstreamError {
	return new PlanstreamError(
		'not_found',
		`Plan ${plan_id} has no log to rename: it was removed in the meantime. Start the import again.`,
		{
			plan_id,
		},
	)
}
