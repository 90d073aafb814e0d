import { Readable } from 'node:stream'
import type { EventInput } from '@planstream/shared'
import { eventInput } from '@planstream/shared/schemas'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { exportPlan, importPlan, KEY, NO_FILES, removeSignature, splitText } from '#test/support/plans/archives.js'
import { readArchive } from '../api/archive-reader.js'
import type { EventLog } from '../log/event-log.js'
import { openLog } from '../log/open.js'
import { archivePlan } from './archive.js'
import { Hub } from './hub.js'
import { LOCAL_PRINCIPAL } from './principal.js'
import { verifyPlan } from './verify.js'

const PLAN = { tenant: 'default', plan_id: 'p' }
const NOW = Date.parse('2026-05-05T00:00:00.000Z')

async function openHub(): Promise<{ log: EventLog; hub: Hub }> {
	const log = await openLog({ kind: 'memory' })
	return { log, hub: new Hub({ log, clock: () => NOW, onProblem: () => undefined }) }
}

function publish(hub: Hub, plan_id: string, ...events: EventInput[]) {
	return hub.publish(LOCAL_PRINCIPAL, { plan_id, events: events.map((event) => eventInput.parse(event)), sent: events })
}

const error = (event_id: string, message = event_id): EventInput => ({
	event_type: 'error',
	event_id,
	timestamp: '2026-01-01T00:00:00.000Z',
	data: { code: 'x', message },
})
const stepDone: EventInput = { event_type: 'step_completed', step_id: 's', data: { data: { text: 'x'.repeat(5000) } } }

const parsed = (text: string): unknown[] =>
	text
		.trimEnd()
		.split('\n')
		.map((line) => JSON.parse(line))

describe('an archive', () => {
	it('has one line of JSON for each line, also for readers that split at the line ends of Unicode', async () => {
		const from = await openHub()
		await publish(from.hub, 'p', error('e', 'a\u0085b\u2028c\u2029d'))
		const text = await exportPlan(from.hub)
		expect(text).not.toMatch(/[\u0085\u2028\u2029]/)
		expect(parsed(text)).toContainEqual(expect.objectContaining({ event: expect.objectContaining({ event_id: 'e' }) }))
		const to = await openHub()
		await importPlan(to.hub, text)
		expect(await exportPlan(to.hub)).toBe(text)
	})

	it('restores the same plan elsewhere except for its epoch', async () => {
		const content = fc.array(fc.string({ unit: 'binary', maxLength: 40 }), { minLength: 1, maxLength: 30 })
		await fc.assert(
			fc.asyncProperty(content, fc.nat(40), fc.integer({ min: 5, max: 700 }), async (messages, cut, size) => {
				const from = await openHub()
				await publish(from.hub, 'p', stepDone, ...messages.map((message, index) => error(`e${index}`, message)))
				await from.hub.trim(PLAN, Math.min(cut, messages.length + 2))
				const to = await openHub()
				const text = await exportPlan(from.hub)
				const imported = await importPlan(to.hub, text, { size })
				const [before, after] = [await from.log.head(PLAN), await to.log.head(PLAN)]
				expect(imported).toMatchObject({
					plan_id: 'p',
					head_seq: before?.head_seq,
					cursor: expect.stringContaining(`${after?.epoch}.`),
				})
				const imported_at = new Date(NOW).toISOString()
				const origin = { imported_by: LOCAL_PRINCIPAL.actor, imported_at, signed: true }
				const summary = { ...before?.summary, updated_at: imported_at, origin }
				expect(after).toEqual({ ...before, epoch: after?.epoch, summary })
				expect(after?.epoch).not.toBe(before?.epoch)
				const records = async (log: EventLog) => (await log.records(PLAN, 0, 100))?.records
				expect(await records(to.log)).toEqual(await records(from.log))
				const { cursor, ...state } = (await to.hub.state(LOCAL_PRINCIPAL, 'p')) ?? { cursor: '' }
				expect({ ...state, cursor: imported.cursor }).toEqual({ ...(await from.hub.state(LOCAL_PRINCIPAL, 'p')), cursor, origin })
				expect(await to.hub.resultAt(PLAN, 1)).toEqual({ text: 'x'.repeat(5000) })
				expect(parsed(await exportPlan(to.hub))).toEqual(parsed(text))
				expect(await verifyPlan(to.log, PLAN)).toMatchObject({ ok: true, fault: null })
			}),
			{ numRuns: 25 },
		)
	})

	it('continues where the plan was: recognises known events and appends the next', async () => {
		const [from, to] = [await openHub(), await openHub()]
		await publish(from.hub, 'p', error('a'), error('b'))
		await importPlan(to.hub, await exportPlan(from.hub))
		expect((await publish(to.hub, 'p', error('b'))).results).toEqual([{ event_id: 'b', seq: 2, duplicate: true }])
		expect((await publish(to.hub, 'p', error('c'))).results).toEqual([{ event_id: 'c', seq: 3, duplicate: false }])
	})

	it('is rejected and changes nothing when the plan exists', async () => {
		const { log, hub } = await openHub()
		await publish(hub, 'p', error('a'))
		const head = await log.head(PLAN)
		await expect(importPlan(hub, await exportPlan(hub))).rejects.toMatchObject({ code: 'conflict', facts: { plan_id: 'p' } })
		expect(await log.head(PLAN)).toEqual(head)
	})

	it('streams many events in bounded pieces', async () => {
		const [from, to] = [await openHub(), await openHub()]
		const many = Array.from({ length: 3000 }, (_, index) => error(`e${index}`))
		await publish(from.hub, 'p', ...many)
		expect(await importPlan(to.hub, await exportPlan(from.hub))).toMatchObject({ events: 3000, head_seq: 3000 })
	})

	it('rejects an unknown plan', async () => {
		const { hub } = await openHub()
		await expect(exportPlan(hub)).rejects.toMatchObject({ code: 'not_found' })
	})
})

describe('an invalid archive', () => {
	const withLines = (change: (lines: string[]) => readonly string[]) => (text: string) =>
		`${change(text.trimEnd().split('\n')).join('\n')}\n`
	it.each<[string, (text: string) => string, string]>([
		['is empty', () => '', 'empty'],
		['ends within a line', (text) => text.slice(0, -30), 'cannot be read'],
		['ends after a line', withLines((lines) => lines.slice(0, -1)), 'without its last line'],
		['lacks an event', withLines((lines) => lines.toSpliced(2, 1)), 'event 2'],
		['has an event twice', withLines((lines) => lines.toSpliced(2, 0, lines[1] ?? '')), 'event 2'],
		[
			'has a changed event',
			(text) => text.replace('"message":"b"', '"message":"B"'),
			'event 2 of plan p does not match its fingerprint',
		],
		['has a changed id', (text) => text.replace('"event_id":"b"', '"event_id":"B"'), 'fingerprint'],
		['has an event of another plan', (text) => text.replace(/"plan_id":"p"(?=[^\n]*"b")/, '"plan_id":"q"'), 'to plan q'],
		['has a wrong head', (text) => text.replace('"head_seq":3', '"head_seq":4'), 'ends with event 3 instead of 4'],
		['has an event that matches no schema', (text) => text.replace('"event_type":"error"', '"event_type":"oops"'), 'Line 2'],
		['has an event that carries a number', (text) => text.replace('"event":{', '"event":{"seq":1,'), 'Line 2'],
		['has an unknown field', (text) => text.replace('"owner"', '"x":1,"owner"'), 'Line 1'],
		['counts otherwise', (text) => text.replace('"events":3', '"events":2'), 'contains 3 events'],
		['goes on behind its end', (text) => text + text, 'comes after the end'],
		['is no JSON', () => 'hello\n', 'Line 1'],
		['is not UTF-8', (text) => text, 'Line 1'],
	])('is rejected and leaves nothing behind when it %s', async (what, change, says) => {
		const [from, to] = [await openHub(), await openHub()]
		await publish(from.hub, 'p', error('a'), error('b'), error('c'))
		const text = change(removeSignature(await exportPlan(from.hub)))
		const bytes =
			what === 'is not UTF-8'
				? (async function* () {
						yield Buffer.from(text.replace('"p"', '"\xff"'), 'latin1')
					})()
				: splitText(text)
		const refused = readArchive(bytes, NO_FILES).then((archive) => to.hub.restore(LOCAL_PRINCIPAL, archive))
		await expect(refused).rejects.toMatchObject({ code: 'bad_request', message: expect.stringContaining(says) })
		expect(await to.log.head(PLAN)).toBeNull()
		expect(await importPlan(to.hub, await exportPlan(from.hub))).toMatchObject({ events: 3 })
	})

	it('is rejected when its snapshot was changed or belongs to another plan', async () => {
		const [from, to] = [await openHub(), await openHub()]
		for (const plan_id of ['p', 'q']) await publish(from.hub, plan_id, error('a'), error('b'))
		for (const plan_id of ['p', 'q']) await from.hub.trim({ ...PLAN, plan_id }, 2)
		const [text, other] = [await exportPlan(from.hub), await exportPlan(from.hub, 'q')]
		const baseOf = (archive: string) => /"base":"(?:[^"\\]|\\.)*"/.exec(archive)?.[0] ?? ''
		const changed = text.replace('\\"status\\":\\"pending\\"', '\\"status\\":\\"running\\"')
		expect(changed).not.toBe(text)
		await expect(importPlan(to.hub, changed)).rejects.toMatchObject({
			code: 'bad_request',
			message: expect.stringContaining('was changed'),
		})
		const swapped = text.replace(baseOf(text), () => baseOf(other))
		await expect(importPlan(to.hub, swapped)).rejects.toMatchObject({
			code: 'bad_request',
			message: expect.stringContaining('another plan'),
		})
		expect(await to.log.head(PLAN)).toBeNull()
	})
})

describe('verify', () => {
	/** Wraps a log so that its records come out changed. */
	function changed(
		log: EventLog,
		change: (record: { seq: number; text: string; fingerprint: string }) => object | null,
	): EventLog {
		return Object.assign(Object.create(log) as EventLog, {
			records: async (...args: Parameters<EventLog['records']>) => {
				const page = await log.records(...args)
				return page && { ...page, records: page.records.flatMap((record) => change(record) ?? []) }
			},
		})
	}
	const verify = (log: EventLog) => verifyPlan(log, PLAN)

	it('finds a changed event, a missing one, and a wrong head', async () => {
		const { log, hub } = await openHub()
		await publish(hub, 'p', ...Array.from({ length: 600 }, (_, index) => error(`e${index}`)))
		expect(await verify(log)).toEqual({ plan_id: 'p', ok: true, oldest_seq: 1, head_seq: 600, events: 600, fault: null })
		const flipped = changed(log, (record) =>
			record.seq === 400 ? { ...record, text: record.text.replace('e399', 'e398') } : record,
		)
		expect(await verify(flipped)).toMatchObject({ ok: false, events: 400, fault: { seq: 400, reason: 'changed' } })
		const lost = changed(log, (record) => (record.seq === 300 ? null : record))
		expect(await verify(lost)).toMatchObject({ ok: false, fault: { seq: 300, reason: 'missing' } })
		const cut = changed(log, (record) => (record.seq > 512 ? null : record))
		expect(await verify(cut)).toMatchObject({ ok: false, fault: { seq: 513, reason: 'missing' } })
		const moved = changed(log, (record) => (record.seq === 600 ? { ...record, fingerprint: '0'.repeat(16) } : record))
		expect(await verify(moved)).toMatchObject({ ok: false, fault: { seq: 600, reason: 'changed' } })
	})

	it('reads each page when there is room for it, and gives the room back', async () => {
		const { log, hub } = await openHub()
		await publish(hub, 'p', ...Array.from({ length: 600 }, (_, index) => error(`e${index}`)))
		const turns: string[] = []
		const verified = await verifyPlan(log, PLAN, null, () => {
			turns.push('take')
			return Promise.resolve({ [Symbol.dispose]: () => void turns.push('leave') })
		})
		expect(verified).toMatchObject({ ok: true, events: 600 })
		expect(turns).toEqual(['take', 'leave', 'take', 'leave', 'take', 'leave'])
	})

	it('starts at the snapshot of a trimmed plan, and finds one that was changed', async () => {
		const { log, hub } = await openHub()
		await publish(hub, 'p', error('a'), error('b'), error('c'))
		await hub.trim(PLAN, 2)
		expect(await verify(log)).toMatchObject({ ok: true, oldest_seq: 2, events: 2 })
		const { base } = await log.read(PLAN, 'start', 1)
		await log.trim(PLAN, 3, { base: base ?? '', reason: 'trimmed' })
		expect(await verify(log)).toMatchObject({ ok: false, fault: { seq: 2, reason: 'base' } })
		await expect(verifyPlan(log, { ...PLAN, plan_id: 'none' })).rejects.toMatchObject({ code: 'not_found' })
	})

	it('reports nothing when a plan is trimmed or grows while it is read', async () => {
		const { log, hub } = await openHub()
		await publish(hub, 'p', ...Array.from({ length: 1000 }, (_, index) => error(`e${index}`)))
		let reads = 0
		const busy = Object.assign(Object.create(log) as EventLog, {
			records: async (...args: Parameters<EventLog['records']>) => {
				reads += 1
				if (reads === 2) await hub.trim(PLAN, 900)
				if (reads === 4) await publish(hub, 'p', error('late'))
				return await log.records(...args)
			},
		})
		expect(await verify(busy)).toMatchObject({ ok: true, oldest_seq: 900 })
		expect(reads).toBeGreaterThan(2)
	})
})

describe('the files of an archive', () => {
	const linesWith = async (...pieces: string[]) => {
		const { hub, log } = await openHub()
		await publish(hub, 'p', stepDone)
		const file = Readable.from(pieces.map((piece) => Buffer.from(piece)))
		const lines = archivePlan(log, PLAN, { ids: () => Promise.resolve(['f']), open: () => Promise.resolve(file), key: KEY })
		return { file, lines }
	}

	it('are closed when the reader stops early, also before the first piece', async () => {
		const { file, lines } = await linesWith('x')
		for await (const line of lines) if (line.startsWith('{"file"')) break
		expect(file.destroyed).toBe(true)
	})

	it('may be empty', async () => {
		const { lines } = await linesWith()
		const all: string[] = []
		for await (const line of lines) all.push(line)
		expect(all.slice(2, 3)).toEqual(['{"file":"f"}\n'])
		expect(JSON.parse(all.at(-2) ?? '')).toMatchObject({ files: 1 })
	})
})
