import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RequestEnvelope, ResponseEnvelope } from './messages.js'
import { packAnswers, packRequests, unpackAnswers, unpackRequests } from './messages.js'

const text = fc.string({ unit: 'binary' })
const seq = fc.nat()
const plan = fc.record({ tenant: text, plan_id: text })
const record = fc.record(
	{ event_id: text, text, sent_digest: text, transient: fc.boolean(), artifacts: fc.array(text) },
	{ requiredKeys: ['event_id', 'text', 'sent_digest', 'transient'] },
)
const summary = fc.record({
	json: text,
	created_at: text,
	unfinished: fc.constantFrom(0, 1),
	at_rest: fc.constantFrom('finished', 'open', null),
	updated_at: text,
	status: text,
	labels: fc.option(text),
	query_text: fc.option(text),
})
const request: fc.Arbitrary<RequestEnvelope['request']> = fc.oneof(
	fc.record({
		kind: fc.constant('append'),
		plan,
		records: fc.array(record),
		expectations: fc.record({ expected_seq: seq, expected_state_seq: seq }, { requiredKeys: [] }),
		summary: fc.option(summary),
	}),
	fc.record({ kind: fc.constant('read'), plan, after: fc.record({ seq }), limit: seq }),
	fc.record({ kind: fc.constant('close') }),
)
const head = fc.record({
	epoch: text,
	head_seq: seq,
	state_seq: seq,
	oldest_seq: seq,
	fingerprint: text,
	summary: fc.constantFrom(null, '', '{"one":1}', '{"other":2}'),
})
const appended = fc
	.tuple(head, fc.array(fc.tuple(seq, text)), fc.boolean())
	.map(([at, rows, isNew]) => ({ head: at, seqs: rows.map(([n]) => n), fingerprints: isNew ? rows.map(([, f]) => f) : null }))
const problem = { type: 't', title: 't', status: 409, detail: 'd', code: 'conflict' } as const
const outcome: fc.Arbitrary<ResponseEnvelope['outcome']> = fc.oneof(
	fc.record({ value: fc.oneof(appended, fc.constant(null), fc.option(head)) }),
	fc.constant({ problem }),
)

describe('messages between the threads', () => {
	it('carry requests unchanged', () => {
		fc.assert(
			fc.property(fc.array(fc.record({ id: seq, request })), (batch) => {
				expect(unpackRequests(structuredClone(packRequests(batch)))).toEqual(batch)
			}),
		)
	})

	it('carry responses unchanged', () => {
		fc.assert(
			fc.property(fc.array(fc.record({ id: seq, outcome })), (batch) => {
				expect(unpackAnswers(structuredClone(packAnswers(batch)))).toEqual(batch)
			}),
		)
	})
})
