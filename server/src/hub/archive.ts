import { type PlanSummary, PlanstreamError } from '@planstream/shared'
import { ARCHIVE_VERSION, type ArchiveHead } from '@planstream/shared/schemas'
import type { EventLog, Head, PlanKey, RecordPage } from '../log/event-log.js'
import { unknownPlan } from './unknown-plan.js'

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
