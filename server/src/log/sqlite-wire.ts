import type { LogRecord } from './event-log.js'
import type { Answered, AppendReply, AppendRequest, Asked, Outcome, Request } from './sqlite-messages.js'
import type { AtRest } from './sqlite-statements.js'

/**
 * Messages between the two threads, laid flat: copying an array of texts and numbers costs a quarter of copying objects of the same
 * content, and appends are most of what goes over. What is rare goes over as the object it is.
 */
export type Cells = readonly unknown[]

const APPEND = 1
const OTHER = 0

export function packRequests(batch: readonly Asked[]): Cells {
	const cells: unknown[] = []
	for (const { id, request } of batch) {
		if (request.kind !== 'append') {
			cells.push(id, OTHER, request)
			continue
		}
		const { plan, expectations, summary, records } = request
		cells.push(id, APPEND, plan.tenant, plan.plan_id, expectations.expected_seq, expectations.expected_state_seq)
		cells.push(summary !== null)
		if (summary !== null) {
			const { json, created_at, unfinished, at_rest, updated_at, status, labels, query_text } = summary
			cells.push(json, created_at, unfinished, at_rest, updated_at, status, labels, query_text)
		}
		cells.push(records.length)
		for (const { event_id, text, sent_digest, transient } of records) cells.push(event_id, text, sent_digest, transient)
	}
	return cells
}

export function unpackRequests(cells: Cells): Asked[] {
	const next = reader(cells)
	const batch: Asked[] = []
	while (next.more()) {
		const id = next.number()
		batch.push({ id, request: next.number() === APPEND ? nextAppend(next) : (next.any() as Request) })
	}
	return batch
}

function nextAppend(next: Reader): AppendRequest {
	const plan = { tenant: next.text(), plan_id: next.text() }
	const expected_seq = next.optional<number>()
	const expected_state_seq = next.optional<number>()
	const summary = nextSummary(next)
	const records: LogRecord[] = []
	for (let count = next.number(); count > 0; count -= 1) {
		records.push({ event_id: next.text(), text: next.text(), sent_digest: next.text(), transient: next.any() === true })
	}
	const expectations = {
		...(expected_seq === undefined ? {} : { expected_seq }),
		...(expected_state_seq === undefined ? {} : { expected_state_seq }),
	}
	return { kind: 'append', plan, records, expectations, summary }
}

function nextSummary(next: Reader): AppendRequest['summary'] {
	if (next.any() !== true) return null
	const json = next.text()
	const created_at = next.text()
	const unfinished = next.any() as 0 | 1
	const at_rest = next.any() as AtRest | null
	const updated_at = next.text()
	const status = next.text()
	const labels = next.nullable()
	const query_text = next.nullable()
	return { json, created_at, unfinished, at_rest, updated_at, status, labels, query_text }
}

/** Of appends to one plan the summary goes over once: it is much longer than the rest of their answers. */
export function packAnswers(batch: readonly Answered[]): Cells {
	const cells: unknown[] = []
	let summary: string | null = null
	for (const { id, outcome } of batch) {
		if (!('value' in outcome) || !isAppendReply(outcome.value)) {
			cells.push(id, OTHER, outcome)
			continue
		}
		const { head, seqs, fingerprints } = outcome.value
		cells.push(id, APPEND, head.epoch, head.head_seq, head.state_seq, head.oldest_seq, head.fingerprint)
		cells.push(head.summary === summary ? undefined : head.summary)
		summary = head.summary
		cells.push(seqs.length, fingerprints !== null, ...seqs, ...(fingerprints ?? []))
	}
	return cells
}

export function unpackAnswers(cells: Cells): Answered[] {
	const next = reader(cells)
	const batch: Answered[] = []
	let summary: string | null = null
	while (next.more()) {
		const id = next.number()
		if (next.number() !== APPEND) {
			batch.push({ id, outcome: next.any() as Outcome })
			continue
		}
		const value = nextAppendReply(next, summary)
		summary = value.head.summary
		batch.push({ id, outcome: { value } })
	}
	return batch
}

function nextAppendReply(next: Reader, before: string | null): AppendReply {
	const epoch = next.text()
	const head_seq = next.number()
	const state_seq = next.number()
	const oldest_seq = next.number()
	const fingerprint = next.text()
	const summary = next.optional<string | null>()
	const head = { epoch, head_seq, state_seq, oldest_seq, fingerprint, summary: summary === undefined ? before : summary }
	const count = next.number()
	const isNew = next.any() === true
	const seqs = Array.from({ length: count }, () => next.number())
	return { head, seqs, fingerprints: isNew ? Array.from({ length: count }, () => next.text()) : null }
}

function isAppendReply(value: object | null): value is AppendReply {
	return value !== null && 'seqs' in value
}

type Reader = ReturnType<typeof reader>

/** Both ends are this file, so a cell is what its place says. */
function reader(cells: Cells) {
	let index = 0
	const any = (): unknown => {
		const cell = cells[index]
		index += 1
		return cell
	}
	return {
		any,
		more: () => index < cells.length,
		text: () => any() as string,
		number: () => any() as number,
		nullable: () => any() as string | null,
		optional: <Value>() => any() as Value | undefined,
	}
}
