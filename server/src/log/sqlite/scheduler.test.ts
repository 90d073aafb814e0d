import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { PLAN, record, records } from '#test/support/plans/log-records.js'
import type { LogRecord, PlanKey } from '../event-log.js'
import type { AppendReply, PageReply, ReadingRequest, ResponseEnvelope, WriteRequest } from './messages.js'
import { Scheduler } from './scheduler.js'
import { openTables } from './schema.js'
import { SqliteStore } from './store.js'

const OTHER: PlanKey = { tenant: 'default', plan_id: 'plan-2' }

function open() {
	const directory = mkdtempSync(join(tmpdir(), 'planstream-turns-'))
	const { db, close } = openTables(directory)
	const clock = { now: 0 }
	const store = new SqliteStore(db)
	const turns = new Scheduler(store, directory, () => clock.now)
	let id = 0
	const add = (request: WriteRequest | ReadingRequest): number => {
		id += 1
		turns.add({ id, request })
		return id
	}
	/** Runs everything that waits and returns the responses in order. */
	const settle = (): ResponseEnvelope[] => {
		const answers: ResponseEnvelope[] = []
		while (turns.hasWork) answers.push(...turns.commit(), ...turns.serve())
		return answers
	}
	const dispose = (): void => {
		close()
		rmSync(directory, { recursive: true })
	}
	return { db, store, turns, clock, add, settle, [Symbol.dispose]: dispose }
}

function append(plan: PlanKey, batch: readonly LogRecord[], expected_seq?: number): WriteRequest {
	return { kind: 'append', plan, records: batch, expectations: expected_seq === undefined ? {} : { expected_seq }, summary: null }
}

function read(plan: PlanKey, limit: number): ReadingRequest {
	return { kind: 'read', plan, after: 'start', limit }
}

function getErrorCode({ outcome }: ResponseEnvelope): string {
	return 'problem' in outcome ? outcome.problem.code : 'ok'
}

function replyOf<Value>(answer: ResponseEnvelope | undefined): Value {
	if (!answer || 'problem' in answer.outcome) throw new Error(`no answer, or a refusal: ${JSON.stringify(answer)}`)
	return answer.outcome.value as Value
}

describe('Scheduler', () => {
	it('closes a group at 256 events and never splits an append', () => {
		using log = open()
		for (const [index, size] of [100, 100, 56, 1, 300, 1, 1].entries()) log.add(append(PLAN, records(`g${index}`, size)))
		const groups: number[] = []
		while (log.turns.hasRequests) groups.push(log.turns.commit().length)
		expect(groups).toEqual([3, 1, 1, 2])
	})

	it('closes a group at 256 KiB of text', () => {
		using log = open()
		for (const id of ['a', 'b', 'c', 'd', 'e']) log.add(append(PLAN, [record(id, { content: 'x'.repeat(100_000) })]))
		expect([log.turns.commit(), log.turns.commit(), log.turns.commit()].map((group) => group.length)).toEqual([2, 2, 1])
	})

	it('gives writers and readers one turn each while both wait', () => {
		using log = open()
		log.add(append(PLAN, records('a', 600)))
		log.settle()
		const reader = log.add(read(PLAN, 600))
		const writers = [0, 1, 2].map((n) => log.add(append(OTHER, records(`b${n}`, 200))))
		const order = Array.from({ length: 3 }, () => [...log.turns.commit(), ...log.turns.serve()].map(({ id }) => id))
		expect(order).toEqual([[writers[0]], [writers[1]], [writers[2], reader]])
	})

	it('serves readers round robin, so that a short read does not wait for a long one', () => {
		using log = open()
		log.add(append(PLAN, records('a', 2000)))
		log.settle()
		const long = log.add(read(PLAN, 2000))
		const short = [log.add(read(PLAN, 20)), log.add({ kind: 'head', plan: PLAN })]
		expect(log.turns.serve().map(({ id }) => id)).toEqual(short)
		expect(log.settle().map(({ id }) => id)).toEqual([long])
	})

	it('ends a read turn after 5 ms', () => {
		using log = open()
		log.add(append(PLAN, records('a', 10)))
		log.settle()
		const ids = Array.from({ length: 6 }, () => log.add(read(PLAN, 10)))
		const { readEvents } = log.store
		log.store.readEvents = (...args) => {
			log.clock.now += 2
			return Reflect.apply(readEvents, log.store, args)
		}
		expect(log.turns.serve().map(({ id }) => id)).toEqual(ids.slice(0, 3))
		expect(log.turns.serve().map(({ id }) => id)).toEqual(ids.slice(3))
	})

	it('ends a page early and without a gap when the log is trimmed between its turns', () => {
		using log = open()
		log.add(append(PLAN, records('a', 600)))
		log.settle()
		log.add(read(PLAN, 600))
		log.turns.serve()
		log.add({ kind: 'trim', plan: PLAN, before_seq: 500, replacement: { base: '{}', reason: 'trimmed' } })
		const page = replyOf<PageReply>(log.settle().at(-1))
		expect(page.events.map(({ seq }) => seq)).toEqual(page.events.map((_, index) => index + 1))
		expect(page.events).toHaveLength(256)
	})

	it('commits the neighbours of a rejected append in the same group', () => {
		using log = open()
		log.add(append(PLAN, [record('a')]))
		log.add(append(PLAN, [record('b')], 7))
		log.add(append(PLAN, [record('c')], 1))
		expect(log.turns.commit().map(getErrorCode)).toEqual(['ok', 'conflict', 'ok'])
		log.add(read(PLAN, 9))
		expect(replyOf<PageReply>(log.settle()[0]).events).toHaveLength(2)
	})

	it('rejects a whole group with storage_full, keeps reading, and appends again once there is space', () => {
		using log = open()
		log.add(append(PLAN, [record('a')]))
		log.settle()
		const { page_count } = log.db.prepare<{ page_count: number }>('PRAGMA page_count').get() ?? { page_count: 0 }
		log.db.exec(`PRAGMA max_page_count = ${page_count}`)
		log.add(append(PLAN, [record('b')]))
		log.add(append(OTHER, [record('big', { content: 'x'.repeat(200_000) })]))
		expect(log.turns.commit().map(getErrorCode)).toEqual(['storage_full', 'storage_full'])
		log.add(read(PLAN, 9))
		log.add({ kind: 'head', plan: OTHER })
		const [page, head] = log.settle()
		expect(replyOf<PageReply>(page)).toMatchObject({ head: { head_seq: 1 }, events: [{ seq: 1 }] })
		expect(replyOf(head)).toBeNull()

		log.db.exec('PRAGMA max_page_count = 1000000')
		log.add(append(PLAN, [record('b')], 1))
		log.add(append(OTHER, [record('big', { content: 'x'.repeat(200_000) })], 0))
		expect(log.settle().map((answer) => replyOf<AppendReply>(answer).head.head_seq)).toEqual([2, 1])
	})

	it('fails only the append whose write the database rejects', () => {
		using log = open()
		const damaged = { ...record('b'), sent_digest: null as unknown as string }
		for (const one of [record('a'), damaged, record('c')]) log.add(append(PLAN, [one]))
		expect(log.settle().map(getErrorCode)).toEqual(['ok', 'storage_unavailable', 'ok'])
		log.add(read(PLAN, 9))
		expect(replyOf<PageReply>(log.settle()[0]).head).toMatchObject({ head_seq: 2 })
	})

	it('deletes events of trimmed and removed logs a few at a time until none are left', () => {
		using log = open()
		const count = (): unknown => log.db.prepare<{ n: number }>('SELECT count(*) AS n FROM events').get()?.n
		log.add(append(PLAN, records('a', 1000)))
		log.add(append(OTHER, records('a', 1000)))
		log.settle()
		log.add({ kind: 'trim', plan: PLAN, before_seq: 991, replacement: { base: '{}', reason: 'cleared' } })
		log.add({ kind: 'remove', plan: OTHER })
		log.turns.commit()
		expect(count()).toBeGreaterThan(1000)
		log.settle()
		expect(count()).toBe(10)
		expect(log.store.hasDeleted).toBe(false)
	})
})
