import { createHash } from 'node:crypto'
import { EMPTY_FINGERPRINT, PlanstreamError, SYSTEM_PLAN_ID, type VerifyOutput } from '@planstream/shared'
import { computeFingerprint } from '../log/append.js'
import type { EventLog, PlanKey, RecordPage, StoredRecord } from '../log/event-log.js'
import { describeDropped } from '../log/tail.js'
import { decodeSnapshot } from './fold-cache.js'
import type { Hub } from './hub.js'
import { unknownPlan } from './plan-fold.js'

const PAGE = 256

type LogFault = NonNullable<VerifyOutput['fault']>

/** The files that the steps of a plan have stored. */
export interface StepFiles {
	/** Lists their ids, which are the SHA-256 of their content. */
	readonly list: (plan: PlanKey) => Promise<readonly string[]>
	/** Content of a file; null when it is gone. */
	readonly open: (id: string) => Promise<AsyncIterable<Uint8Array> | null>
}

/** Waits until a page may be read. */
type Reserve = () => Promise<Disposable>

const readAtOnce: Reserve = () => Promise.resolve({ [Symbol.dispose]: () => undefined })

/** Lists and opens the files of plans of one tenant. */
export function listFiles(
	hub: Pick<Hub, 'fold'>,
	artifacts: { readonly open: (id: string) => Promise<{ readonly content: AsyncIterable<Uint8Array> } | null> },
): StepFiles {
	return {
		list: async (plan) => Object.keys((await hub.fold(plan))?.artifacts ?? {}),
		open: async (id) => (await artifacts.open(id))?.content ?? null,
	}
}

/**
 * Recomputes the fingerprints of a plan from its stored records, from its snapshot on, and compares them with those of the log. It starts
 * over when the plan is trimmed meanwhile. A plan without a fault of its own still gets one when the store has lost events, because they may
 * have been its own. For the plan `system` only the store is checked.
 *
 * @param files - are compared with their ids, once the log is intact. @defaultValue none
 * @param reserve - waits until a page may be read. @defaultValue pages are read at once
 * @throws PlanstreamError `not_found`
 */
export async function verifyPlan(
	log: EventLog,
	plan: PlanKey,
	files: StepFiles | null = null,
	reserve = readAtOnce,
): Promise<VerifyOutput> {
	if (plan.plan_id === SYSTEM_PLAN_ID) return addDropped(toOutput(plan, null, null), log)
	for (;;) {
		const verified = await verifyOnce(log, plan, reserve)
		if (verified !== null) return addDropped(files === null ? verified : await verifyFiles(verified, plan, files), log)
	}
}

function addDropped(verified: VerifyOutput, { dropped }: EventLog): VerifyOutput {
	if (dropped === null || !verified.ok) return verified
	return { ...verified, ok: false, fault: { seq: verified.head_seq, reason: 'dropped', detail: describeDropped(dropped) } }
}

async function verifyFiles(verified: VerifyOutput, plan: PlanKey, { list, open }: StepFiles): Promise<VerifyOutput> {
	if (!verified.ok) return verified
	for (const id of await list(plan)) {
		const content = await open(id)
		const digest = content === null ? null : await computeSha256(content)
		if (digest === id) continue
		const what = digest === null ? 'is gone' : 'was changed after it was stored'
		const detail = `The artifact ${id.slice(0, 80)} ${what}. Restore a backup, or run its step again.`
		return { ...verified, ok: false, fault: { seq: verified.head_seq, reason: 'artifact', detail } }
	}
	return verified
}

async function computeSha256(content: AsyncIterable<Uint8Array>): Promise<string> {
	const hash = createHash('sha256')
	for await (const piece of content) hash.update(piece)
	return hash.digest('hex')
}

/** @returns null when the plan was trimmed or created again meanwhile */
async function verifyOnce(log: EventLog, plan: PlanKey, reserve: Reserve): Promise<VerifyOutput | null> {
	let chain = null as FingerprintChain | null
	for (;;) {
		using _room = await reserve()
		const page = await readRecords(log, plan, chain === null ? 0 : chain.seq + 1)
		if ('reason' in page) return toOutput(plan, chain, page)
		if (chain?.isOvertaken(page) === true) return null
		const fault: LogFault | null = chain === null ? checkSnapshot(page, plan) : null
		chain ??= new FingerprintChain(page)
		const found = fault ?? chain.check(page)
		if (found !== null || chain.seq >= page.head.head_seq) return toOutput(plan, chain, found)
	}
}

async function readRecords(log: EventLog, plan: PlanKey, from_seq: number): Promise<RecordPage | LogFault> {
	try {
		const page = await log.records(plan, from_seq, PAGE)
		if (page !== null) return page
	} catch (thrown) {
		if (!(thrown instanceof PlanstreamError) || thrown.code !== 'storage_unavailable') throw thrown
		return { seq: from_seq, reason: 'unreadable', detail: thrown.message }
	}
	throw unknownPlan(plan.plan_id)
}

function toOutput({ plan_id }: PlanKey, chain: FingerprintChain | null, fault: LogFault | null): VerifyOutput {
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
	return {
		seq,
		reason: 'base',
		detail: `The snapshot of the events up to ${seq} was changed after it was stored. Restore a backup.`,
	}
}

/** Recomputes the fingerprints of the records read so far. */
class FingerprintChain {
	head: RecordPage['head']
	/** The last compared event. */
	seq: number
	events = 0
	#fingerprint: string

	constructor({ head, origin }: RecordPage) {
		this.head = head
		this.seq = head.oldest_seq - 1
		this.#fingerprint = origin?.fingerprint ?? EMPTY_FINGERPRINT
	}

	/** Whether the log was trimmed beyond the last read record, or created again. */
	isOvertaken({ head }: RecordPage): boolean {
		return head.epoch !== this.head.epoch || head.oldest_seq > this.seq + 1
	}

	check({ head, records }: RecordPage): LogFault | null {
		this.head = head
		for (const record of records) {
			const fault = this.#take(record)
			if (fault !== null) return fault
		}
		if (this.seq < head.head_seq) return records.length === 0 ? this.#reportMissing() : null
		if (this.#fingerprint === head.fingerprint) return null
		return {
			seq: this.seq,
			reason: 'changed',
			detail: 'The fingerprint of the head does not match the last event. Restore a backup.',
		}
	}

	#take({ seq, event_id, text, fingerprint }: StoredRecord): LogFault | null {
		if (seq !== this.seq + 1) return this.#reportMissing()
		this.#fingerprint = computeFingerprint(this.#fingerprint, event_id, text)
		this.seq = seq
		this.events += 1
		if (this.#fingerprint === fingerprint) return null
		return { seq, reason: 'changed', detail: `Event ${seq} was changed after it was stored. Restore a backup.` }
	}

	#reportMissing(): LogFault {
		const seq = this.seq + 1
		return {
			seq,
			reason: 'missing',
			detail: `Event ${seq} is missing, but the head is ${this.head.head_seq}. Restore a backup.`,
		}
	}
}
