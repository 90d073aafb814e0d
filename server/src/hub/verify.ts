import { EMPTY_FINGERPRINT, PlanstreamError, SYSTEM_PLAN_ID, type VerifyOutput } from '@planstream/shared'
import { computeFingerprint } from '../log/append.js'
import type { EventLog, PlanKey, RecordPage, StoredRecord } from '../log/event-log.js'
import { describeDropped } from '../log/tail.js'
import { decodeSnapshot } from './fold-cache.js'
import { unknownPlan } from './stream.js'

const PAGE = 256

type LogFault = NonNullable<VerifyOutput['fault']>

/**
 * Makes the fingerprints of a plan anew from what is stored, from its base on, and compares them with those of the log. It begins
 * again when the plan is trimmed meanwhile. A plan that agrees is at fault all the same when the store has lost events, because they may be
 * its own; the plan `system` stands for the store alone.
 *
 * @throws PlanstreamError `not_found`
 */
export async function verifyPlan(log: EventLog, plan: PlanKey): Promise<VerifyOutput> {
	if (plan.plan_id === SYSTEM_PLAN_ID) return withDropped(outcome(plan, null, null), log)
	for (;;) {
		const verified = await verifyOnce(log, plan)
		if (verified !== null) return withDropped(verified, log)
	}
}

function withDropped(verified: VerifyOutput, { dropped }: EventLog): VerifyOutput {
	if (dropped === null || !verified.ok) return verified
	return { ...verified, ok: false, fault: { seq: verified.head_seq, reason: 'dropped', detail: describeDropped(dropped) } }
}

/** @returns null when the plan was trimmed or made again meanwhile */
async function verifyOnce(log: EventLog, plan: PlanKey): Promise<VerifyOutput | null> {
	const first = await readable(log, plan, 0)
	if ('reason' in first) return outcome(plan, null, first)
	const chain = new FingerprintChain(first)
	let fault = checkSnapshot(first, plan)
	for (let page = first; fault === null; ) {
		fault = chain.check(page)
		if (fault !== null || chain.seq >= page.head.head_seq) break
		const next = await readable(log, plan, chain.seq + 1)
		if ('reason' in next) fault = next
		else if (chain.isOvertaken(next)) return null
		else page = next
	}
	return outcome(plan, chain, fault)
}

async function readable(log: EventLog, plan: PlanKey, from_seq: number): Promise<RecordPage | LogFault> {
	try {
		const page = await log.records(plan, from_seq, PAGE)
		if (page !== null) return page
	} catch (thrown) {
		if (!(thrown instanceof PlanstreamError) || thrown.code !== 'storage_unavailable') throw thrown
		return { seq: from_seq, reason: 'unreadable', detail: thrown.message }
	}
	throw unknownPlan(plan.plan_id)
}

function outcome({ plan_id }: PlanKey, chain: FingerprintChain | null, fault: LogFault | null): VerifyOutput {
	const { oldest_seq, head_seq } = chain?.head ?? { oldest_seq: 0, head_seq: 0 }
	return { plan_id, ok: fault === null, oldest_seq, head_seq, events: chain?.events ?? 0, fault }
}

function checkSnapshot({ head, origin }: RecordPage, plan: PlanKey): LogFault | null {
	const seq = head.oldest_seq - 1
	if (origin === null && seq === 0) return null
	try {
		if (origin !== null && decodeSnapshot(origin.base, plan).fold.state.seq === seq) return null
	} catch (thrown) {
		if (!(thrown instanceof PlanstreamError)) throw thrown
	}
	return { seq, reason: 'base', detail: `What stands for the events up to ${seq} is not what was stored. Restore a backup.` }
}

/** The fingerprints as they should be, as far as the records have been read. */
class FingerprintChain {
	head: RecordPage['head']
	/** The last event that was compared. */
	seq: number
	events = 0
	#fingerprint: string

	constructor({ head, origin }: RecordPage) {
		this.head = head
		this.seq = head.oldest_seq - 1
		this.#fingerprint = origin?.fingerprint ?? EMPTY_FINGERPRINT
	}

	/** Whether the log was trimmed beyond what was read, or made again. */
	isOvertaken({ head }: RecordPage): boolean {
		return head.epoch !== this.head.epoch || head.oldest_seq > this.seq + 1
	}

	check({ head, records }: RecordPage): LogFault | null {
		this.head = head
		for (const record of records) {
			const fault = this.#take(record)
			if (fault !== null) return fault
		}
		if (this.seq < head.head_seq) return records.length === 0 ? this.#missing() : null
		if (this.#fingerprint === head.fingerprint) return null
		return {
			seq: this.seq,
			reason: 'changed',
			detail: 'The fingerprint of the head is not that of the last event. Restore a backup.',
		}
	}

	#take({ seq, event_id, text, fingerprint }: StoredRecord): LogFault | null {
		if (seq !== this.seq + 1) return this.#missing()
		this.#fingerprint = computeFingerprint(this.#fingerprint, event_id, text)
		this.seq = seq
		this.events += 1
		if (this.#fingerprint === fingerprint) return null
		return { seq, reason: 'changed', detail: `Event ${seq} is not what was stored. Restore a backup.` }
	}

	#missing(): LogFault {
		const seq = this.seq + 1
		return {
			seq,
			reason: 'missing',
			detail: `Event ${seq} is not there, but the head is ${this.head.head_seq}. Restore a backup.`,
		}
	}
}
