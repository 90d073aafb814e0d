import { EMPTY_FINGERPRINT, formatCursor } from '@planstream/shared'
import { describe, expect, it, vi } from 'vitest'
import { computeFingerprint } from '../../server/src/log/append.js'
import { eventIds, type OpenedLog, PLAN, record, records, summary } from '../support/plans/log-records.js'
import { keepingSuite } from './event-log-keeping.suite.js'
import { listingSuite } from './event-log-listing.suite.js'
import { readingSuite, trimmingSuite } from './event-log-reading.suite.js'

/**
 * The behaviour of the log port; every implementation runs this suite, behind the tail.
 *
 * @param name - shown in the test names
 * @param open - opens an empty log; called once per test
 */
export function eventLogSuite(name: string, open: () => Promise<OpenedLog>): void {
	describe(`the event log ${name}`, () => {
		describe('append', () => appending(open))
		describe('deduplication and expectations', () => refusing(open))
		describe('read', () => readingSuite(open))
		describe('trim and remove', () => trimmingSuite(open))
		describe('watchers', () => ringing(open))
		describe('list', () => listingSuite(open))
		describe('retention and export', () => keepingSuite(open))
		describe('close', () => closing(open))
	})
}

type Open = () => Promise<OpenedLog>

function appending(open: Open): void {
	it('numbers events from 1 and prefixes each with its number and cursor', async () => {
		await using opened = await open()
		const { head, results, events } = await opened.log.append(PLAN, [record('a'), record('b')])
		expect(results).toEqual([
			{ event_id: 'a', seq: 1, duplicate: false },
			{ event_id: 'b', seq: 2, duplicate: false },
		])
		expect(events.map(({ text }) => JSON.parse(text))).toEqual([
			{ seq: 1, cursor: events[0]?.cursor, event_type: 'custom', event_id: 'a', data: { content: '' } },
			{ seq: 2, cursor: events[1]?.cursor, event_type: 'custom', event_id: 'b', data: { content: '' } },
		])
		expect(head).toMatchObject({ head_seq: 2, oldest_seq: 1, state_seq: 2, summary: null })
		expect(await opened.log.head(PLAN)).toEqual(head)
	})

	it('chains the fingerprints over all events', async () => {
		await using opened = await open()
		const batch = records('a', 3)
		const { events, head } = await opened.log.append(PLAN, batch)
		let fingerprint = EMPTY_FINGERPRINT
		for (const [index, { event_id, text }] of batch.entries()) {
			fingerprint = computeFingerprint(fingerprint, event_id, text)
			expect(events[index]?.cursor).toBe(formatCursor({ epoch: head.epoch, seq: index + 1, fingerprint }))
		}
		expect(head.fingerprint).toBe(fingerprint)
	})

	it('raises state_seq only with records that are not transient', async () => {
		await using opened = await open()
		await opened.log.append(PLAN, [record('a'), record('b', { transient: true })])
		const { head } = await opened.log.append(PLAN, [record('c', { transient: true })])
		expect(head).toMatchObject({ head_seq: 3, state_seq: 1 })
	})

	it('keeps the summary of the last append that had one', async () => {
		await using opened = await open()
		await opened.log.append(PLAN, [record('a')], { summary: summary(PLAN.plan_id, { revision: 7 }) })
		const { head } = await opened.log.append(PLAN, [record('b', { transient: true })])
		expect(head.summary).toEqual(summary(PLAN.plan_id, { revision: 7 }))
		expect((await opened.log.head(PLAN))?.summary?.revision).toBe(7)
	})

	it('gives concurrent appends one order without gaps', async () => {
		await using opened = await open()
		const appended = await Promise.all(
			Array.from({ length: 300 }, (_, n) => opened.log.append(PLAN, records(`w${n}`, 1 + (n % 3)))),
		)
		const events = appended.flatMap((one) => one.events).sort((a, b) => a.seq - b.seq)
		expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1))
		expect((await opened.log.read(PLAN, 'start', 1000)).events).toEqual(events)
	})

	it('keeps the same plan id of two tenants apart', async () => {
		await using opened = await open()
		await opened.log.append({ tenant: 'one', plan_id: 'p' }, [record('a')])
		const { results, head } = await opened.log.append({ tenant: 'two', plan_id: 'p' }, [record('a')], { expected_seq: 0 })
		expect(results).toEqual([{ event_id: 'a', seq: 1, duplicate: false }])
		expect(head.epoch).not.toBe((await opened.log.head({ tenant: 'one', plan_id: 'p' }))?.epoch)
	})

	it('returns texts unchanged, whatever they contain', async () => {
		await using opened = await open()
		const content = 'quote " backslash \\ \u0000 \u2028 é 漢 😀 \ud800'
		const { events } = await opened.log.append(PLAN, [record('a', { content })])
		expect(JSON.parse(events[0]?.text ?? '')).toMatchObject({ data: { content } })
		expect((await opened.log.read(PLAN, 'start', 1)).events).toEqual(events)
	})
}

function refusing(open: Open): void {
	it('lets exactly one of two appends create the log when both expect none', async () => {
		await using opened = await open()
		const outcomes = await Promise.allSettled(['a', 'b'].map((id) => opened.log.append(PLAN, [record(id)], { expected_seq: 0 })))
		expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
		expect(await opened.log.head(PLAN)).toMatchObject({ head_seq: 1 })
	})

	it('rejects an append with an unmet expectation, names both numbers, and changes nothing', async () => {
		await using opened = await open()
		const { head } = await opened.log.append(PLAN, [record('a'), record('b', { transient: true })])
		const facts = { head_seq: 2, state_seq: 1 }
		await expect(opened.log.append(PLAN, [record('c')], { expected_seq: 1 })).rejects.toMatchObject({ code: 'conflict', facts })
		await expect(opened.log.append(PLAN, [record('c')], { expected_state_seq: 2 })).rejects.toMatchObject({
			code: 'conflict',
			facts,
		})
		expect(await opened.log.head(PLAN)).toEqual(head)
		await opened.log.append(PLAN, [record('c')], { expected_seq: 2, expected_state_seq: 1 })
	})

	it('answers a known batch with its numbers whatever was expected, and changes nothing', async () => {
		await using opened = await open()
		const batch = records('a', 2)
		const { head } = await opened.log.append(PLAN, batch, { summary: summary(PLAN.plan_id) })
		const again = await opened.log.append(PLAN, batch, { expected_seq: 0, summary: summary(PLAN.plan_id, { revision: 9 }) })
		expect(again.results).toEqual([
			{ event_id: 'a-0', seq: 1, duplicate: true },
			{ event_id: 'a-1', seq: 2, duplicate: true },
		])
		expect(again).toMatchObject({ events: [], head })
	})

	it('rejects a known id with other content, and names it', async () => {
		await using opened = await open()
		await opened.log.append(PLAN, [record('a')])
		const refused = opened.log.append(PLAN, [record('b'), record('a', { content: 'other' })])
		await expect(refused).rejects.toMatchObject({ code: 'conflict', facts: { event_id: 'a', seq: 1 } })
		expect(await opened.log.head(PLAN)).toMatchObject({ head_seq: 1 })
	})

	it('rejects a batch that mixes known and new ids, and names the known ones', async () => {
		await using opened = await open()
		await opened.log.append(PLAN, records('a', 2))
		const refused = opened.log.append(PLAN, [record('b'), ...records('a', 2)])
		await expect(refused).rejects.toMatchObject({ code: 'conflict', facts: { duplicates: ['a-0', 'a-1'] } })
	})

	it('rejects an empty batch, and a repeated id within a batch', async () => {
		await using opened = await open()
		await expect(opened.log.append(PLAN, [])).rejects.toMatchObject({ code: 'bad_request' })
		await expect(opened.log.append(PLAN, [record('a'), record('a')])).rejects.toMatchObject({
			code: 'bad_request',
			facts: { event_id: 'a' },
		})
		expect(await opened.log.head(PLAN)).toBeNull()
	})

	it('commits the neighbours of a rejected append', async () => {
		await using opened = await open()
		const outcomes = await Promise.allSettled([
			opened.log.append(PLAN, [record('a')]),
			opened.log.append(PLAN, [record('b')], { expected_seq: 5 }),
			opened.log.append(PLAN, [record('c')]),
		])
		expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
		expect(await eventIds(opened.log)).toEqual(['a', 'c'])
	})
}

function ringing(open: Open): void {
	it('notify when a read can see the append, and after each trim and removal', async () => {
		await using opened = await open()
		const heads: Promise<number | undefined>[] = []
		using _bell = opened.log.watch(PLAN, () => heads.push(opened.log.head(PLAN).then((head) => head?.head_seq)))
		await opened.log.append(PLAN, [record('a')])
		await opened.log.append(PLAN, [record('b')])
		await opened.log.append({ ...PLAN, plan_id: 'other' }, [record('a')])
		await opened.log.trim(PLAN, 2, { base: '{}', reason: 'trimmed' })
		expect(await Promise.all(heads)).toEqual([1, 2, 2])
		await opened.log.remove(PLAN)
		expect(await heads[3]).toBeUndefined()
		expect(heads).toHaveLength(4)
	})

	it('notify of a tenant when any of its summaries changes', async () => {
		await using opened = await open()
		const ring = vi.fn()
		using _bell = opened.log.watch({ tenant: 'default' }, ring)
		await opened.log.append(PLAN, [record('a')], { summary: summary(PLAN.plan_id) })
		await opened.log.append(PLAN, [record('b', { transient: true })])
		await opened.log.append({ ...PLAN, tenant: 'other' }, [record('a')], { summary: summary(PLAN.plan_id) })
		expect(ring).toHaveBeenCalledTimes(1)
		await opened.log.remove(PLAN)
		expect(ring).toHaveBeenCalledTimes(2)
	})

	it('are all removed once they are disposed', async () => {
		await using opened = await open()
		const ring = vi.fn()
		const bells = [opened.log.watch(PLAN, ring), opened.log.watch(PLAN, ring), opened.log.watch({ tenant: PLAN.tenant }, ring)]
		expect(opened.log.metrics.watchers).toBe(3)
		for (const bell of [...bells, ...bells]) bell[Symbol.dispose]()
		expect(opened.log.metrics.watchers).toBe(0)
		await opened.log.append(PLAN, [record('a')], { summary: summary(PLAN.plan_id) })
		expect(ring).not.toHaveBeenCalled()
	})
}

function closing(open: Open): void {
	it('completes appends in flight, and rejects later ones', async () => {
		await using opened = await open()
		const underWay = opened.log.append(PLAN, [record('a')])
		const closed = opened.log.close()
		expect((await underWay).results[0]?.seq).toBe(1)
		await closed
		await opened.log.close()
		await expect(opened.log.append(PLAN, [record('b')])).rejects.toMatchObject({ code: 'storage_unavailable' })
		await expect(opened.log.list({ tenant: 'default', limit: 1 })).rejects.toMatchObject({ code: 'storage_unavailable' })
	})
}
