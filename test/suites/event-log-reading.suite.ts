import { EMPTY_FINGERPRINT, formatCursor, type Position, parsePosition } from '@planstream/shared'
import { expect, it } from 'vitest'
import { computeFingerprint } from '../../server/src/log/append.js'
import type { StoredEvent } from '../../server/src/log/event-log.js'
import { eventIds, type OpenedLog, PLAN, record, records, summary } from '../support/plans/log-records.js'

type Open = () => Promise<OpenedLog>

/** Checks how a read resolves a position. */
export function readingSuite(open: Open): void {
	it('reads an unknown plan as empty, and says which positions cannot be honoured', async () => {
		await using opened = await open()
		const verdictOf = async (after: Position) => {
			const { verdict, ...rest } = await opened.log.read(PLAN, after, 10)
			expect(rest).toEqual({ head: null, from_seq: 1, from_cursor: null, base: null, events: [] })
			return verdict
		}
		for (const after of ['start', 'now', { seq: 0 }] as const)
			expect(await verdictOf(after)).toEqual({ reset: null, epoch: null })
		expect(await verdictOf({ seq: 3 })).toEqual({ reset: 'rewind', epoch: null })
		expect(await verdictOf({ epoch: 'e', seq: 0, fingerprint: EMPTY_FINGERPRINT })).toEqual({ reset: 'epoch', epoch: null })
		expect(opened.log.metrics.plans).toBe(0)
	})

	it('ends a page after 4 MiB of events, in bytes rather than characters', async () => {
		await using opened = await open()
		const texts = Array.from({ length: 6 }, (_, index) => record(`a${index}`, { content: '\u20ac'.repeat(333_333) }))
		await opened.log.append(PLAN, texts)
		const page = await opened.log.read(PLAN, 'start', 100)
		expect(page.events.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5])
		expect((await opened.log.read(PLAN, { seq: 5 }, 100)).events.map(({ seq }) => seq)).toEqual([6])
	})

	it('reads a log in pages, by cursor and by number, and ends at the head', async () => {
		await using opened = await open()
		const { events, head } = await opened.log.append(PLAN, records('a', 7))
		const seen: StoredEvent[] = []
		let after: Position = 'start'
		for (;;) {
			const page = await opened.log.read(PLAN, after, 3)
			expect(page).toMatchObject({ verdict: { reset: null, epoch: head.epoch }, from_seq: seen.length + 1, head })
			if (page.events.length === 0) break
			seen.push(...page.events)
			after = parsePosition(page.events.at(-1)?.cursor ?? '') ?? 'now'
		}
		expect(seen).toEqual(events)
		expect((await opened.log.read(PLAN, { seq: 5 }, 9)).events).toEqual(events.slice(5))
	})

	it('starts at the head for "now", with the cursor that a resume needs', async () => {
		await using opened = await open()
		const { head, events } = await opened.log.append(PLAN, records('a', 2))
		const page = await opened.log.read(PLAN, 'now', 10)
		expect(page).toMatchObject({ verdict: { reset: null }, from_seq: 3, events: [] })
		expect(page.from_cursor && formatCursor(page.from_cursor)).toBe(events.at(-1)?.cursor)
		expect(page.head).toEqual(head)
	})

	it('distinguishes cursors beyond the head, of another epoch and of another history', async () => {
		await using opened = await open()
		const { head, events } = await opened.log.append(PLAN, records('a', 3))
		const good = { epoch: head.epoch, seq: 3, fingerprint: head.fingerprint }
		const cases = [
			[{ ...good, seq: 4 }, 'rewind'],
			[{ seq: 4 }, 'rewind'],
			[{ ...good, epoch: 'other' }, 'epoch'],
			[{ ...good, epoch: 'other', seq: 9 }, 'epoch'],
			[{ ...good, fingerprint: 'f'.repeat(16) }, 'fork'],
			[{ ...good, seq: 0, fingerprint: 'f'.repeat(16) }, 'fork'],
			[{ ...good, seq: 2 }, 'fork'],
		] as const
		for (const [after, reset] of cases) {
			const page = await opened.log.read(PLAN, after, 10)
			expect(page, reset).toMatchObject({ verdict: { reset }, from_seq: 1, events })
			expect(page.from_cursor).toEqual({ epoch: head.epoch, seq: 0, fingerprint: EMPTY_FINGERPRINT })
		}
		expect(await opened.log.read(PLAN, good, 10)).toMatchObject({ verdict: { reset: null }, from_seq: 4, events: [] })
	})
}

/** Checks the log after old events, or the whole plan, were removed. */
export function trimmingSuite(open: Open): void {
	it('keeps a snapshot in place of the trimmed events, and continues sequence, epoch and chain', async () => {
		await using opened = await open()
		const { events, head } = await opened.log.append(PLAN, records('a', 5))
		await opened.log.trim(PLAN, 4, { base: '{"at":3}', reason: 'trimmed' })
		expect(await opened.log.head(PLAN)).toEqual({ ...head, oldest_seq: 4 })
		for (const after of ['start', { seq: 2 }, parsePosition(events[1]?.cursor ?? '')] as const) {
			const page = await opened.log.read(PLAN, after ?? 'now', 10)
			expect(page).toMatchObject({ verdict: { reset: 'trimmed' }, from_seq: 4, base: '{"at":3}', events: events.slice(3) })
			expect(page.from_cursor && formatCursor(page.from_cursor)).toBe(events[2]?.cursor)
		}
		const { events: added } = await opened.log.append(PLAN, [record('b')], { expected_seq: 5 })
		const text = record('b').text
		expect(added[0]?.cursor).toBe(
			formatCursor({ epoch: head.epoch, seq: 6, fingerprint: computeFingerprint(head.fingerprint, 'b', text) }),
		)
	})

	it('still checks the cursor just before the oldest event', async () => {
		await using opened = await open()
		const { events, head } = await opened.log.append(PLAN, records('a', 5))
		await opened.log.trim(PLAN, 4, { base: '{}', reason: 'trimmed' })
		const last = parsePosition(events[2]?.cursor ?? '') ?? 'start'
		expect(await opened.log.read(PLAN, last, 1)).toMatchObject({
			verdict: { reset: null },
			from_seq: 4,
			base: null,
			events: [events[3]],
		})
		const forked = { epoch: head.epoch, seq: 3, fingerprint: 'f'.repeat(16) }
		expect((await opened.log.read(PLAN, forked, 1)).verdict.reset).toBe('fork')
	})

	it('reports a cleared history to every reader except one at the head', async () => {
		await using opened = await open()
		const { head, events } = await opened.log.append(PLAN, records('a', 3))
		await opened.log.trim(PLAN, 2, { base: '{}', reason: 'trimmed' })
		await opened.log.trim(PLAN, 4, { base: '{}', reason: 'cleared' })
		expect(await opened.log.read(PLAN, { ...head, seq: 3 }, 9)).toMatchObject({
			verdict: { reset: null },
			from_seq: 4,
			events: [],
		})
		const behind = parsePosition(events[1]?.cursor ?? '') ?? 'now'
		expect(await opened.log.read(PLAN, behind, 9)).toMatchObject({ verdict: { reset: 'cleared' }, from_seq: 4, events: [] })
		expect((await opened.log.read(PLAN, 'start', 9)).verdict.reset).toBe('cleared')
		expect((await opened.log.append(PLAN, [record('b')])).results[0]?.seq).toBe(4)
	})

	it('ignores a trim that was already done, and rejects one beyond the head', async () => {
		await using opened = await open()
		await opened.log.trim(PLAN, 1, { base: '{}', reason: 'trimmed' })
		expect(await opened.log.head(PLAN)).toBeNull()
		await opened.log.append(PLAN, records('a', 5))
		await opened.log.trim(PLAN, 4, { base: '{"at":3}', reason: 'trimmed' })
		await opened.log.trim(PLAN, 3, { base: '{"at":2}', reason: 'cleared' })
		expect(await opened.log.read(PLAN, 'start', 1)).toMatchObject({ from_seq: 4, base: '{"at":3}' })
		await expect(opened.log.trim(PLAN, 7, { base: '{}', reason: 'cleared' })).rejects.toMatchObject({ code: 'bad_request' })
	})

	it('recognises an id as long as its event is retained', async () => {
		await using opened = await open()
		await opened.log.append(PLAN, records('a', 3))
		await opened.log.trim(PLAN, 3, { base: '{}', reason: 'trimmed' })
		expect((await opened.log.append(PLAN, [record('a-2')])).results).toEqual([{ event_id: 'a-2', seq: 3, duplicate: true }])
		expect((await opened.log.append(PLAN, [record('a-1')])).results).toEqual([{ event_id: 'a-1', seq: 4, duplicate: false }])
		expect(await eventIds(opened.log)).toEqual(['a-2', 'a-1'])
	})

	it('forgets a removed plan, and gives a later log of the same id a new epoch', async () => {
		await using opened = await open()
		const { head } = await opened.log.append(PLAN, records('a', 2), { summary: summary(PLAN.plan_id) })
		await opened.log.trim(PLAN, 2, { base: '{}', reason: 'trimmed' })
		await opened.log.remove(PLAN)
		await opened.log.remove(PLAN)
		expect(await opened.log.head(PLAN)).toBeNull()
		expect(await opened.log.unfinished()).toEqual([])
		const again = await opened.log.append(PLAN, records('a', 2), { expected_seq: 0 })
		expect(again.head).toMatchObject({ head_seq: 2, oldest_seq: 1, summary: null })
		expect(again.head.epoch).not.toBe(head.epoch)
		expect((await opened.log.read(PLAN, { ...head, seq: 2 }, 1)).verdict).toEqual({ reset: 'epoch', epoch: again.head.epoch })
	})
}
