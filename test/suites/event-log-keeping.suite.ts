import { EMPTY_FINGERPRINT, type PlanSummary } from '@planstream/shared'
import { expect, it, vi } from 'vitest'
import { computeFingerprint, toStagedKey } from '../../server/src/log/append.js'
import type { PlanKey, RetirableQuery } from '../../server/src/log/event-log.js'
import { type OpenedLog, PLAN, record, records, summary } from '../support/plans/log-records.js'

type Open = () => Promise<OpenedLog>

/** Checks retention, export and import. */
export function keepingSuite(open: Open): void {
	retiring(open)
	naming(open)
	copying(open)
	restoring(open)
}

const DAYS: readonly PlanSummary[] = [
	summary('done-1', { finished: true, updated_at: '2026-01-01T00:00:00.000Z' }),
	summary('done-2', { finished: true, owner: 'external', updated_at: '2026-01-02T00:00:00.000Z' }),
	summary('runs-1', { updated_at: '2026-01-01T00:00:00.000Z' }),
	summary('open-1', { owner: 'external', updated_at: '2026-01-01T00:00:00.000Z' }),
	summary('open-3', { owner: 'external', updated_at: '2026-01-03T00:00:00.000Z' }),
]

function retiring(open: Open): void {
	const names = async ({ log }: OpenedLog, query: RetirableQuery) =>
		(await log.retirable(query)).map(({ tenant, plan_id }) => `${tenant}/${plan_id}`).sort()
	const before = (kind: 'finished' | 'open', updated_before: string, limit = 9) => ({ kind, updated_before, limit }) as const

	it('lists plans of every tenant that are finished, or external and silent, since before a time', async () => {
		await using opened = await open()
		for (const tenant of ['default', 'other'])
			for (const plan of DAYS) await opened.log.append({ tenant, plan_id: plan.plan_id }, [record('a')], { summary: plan })
		await opened.log.append(PLAN, [record('a')])
		expect(await names(opened, before('finished', '2026-01-02T00:00:00.000Z'))).toEqual(['default/done-1', 'other/done-1'])
		expect(await names(opened, before('open', '2026-01-03T00:00:00.000Z'))).toEqual(['default/open-1', 'other/open-1'])
		expect(await names(opened, before('open', '2026-02-01T00:00:00.000Z', 3))).toHaveLength(3)

		const reopened = summary('done-1', { updated_at: '2026-01-01T00:00:00.000Z' })
		await opened.log.append({ tenant: 'default', plan_id: 'done-1' }, [record('b')], { summary: reopened })
		await opened.log.remove({ tenant: 'other', plan_id: 'done-1' })
		expect(await names(opened, before('finished', '2026-01-02T00:00:00.000Z'))).toEqual([])
	})

	it('lists finished plans with more events than the limit until they are trimmed', async () => {
		await using opened = await open()
		const large: RetirableQuery = { kind: 'large', more_events_than: 3, limit: 9 }
		await opened.log.append(PLAN, records('a', 4), { summary: summary(PLAN.plan_id) })
		expect(await names(opened, large)).toEqual([])
		await opened.log.append(PLAN, [record('end')], { summary: summary(PLAN.plan_id, { finished: true }) })
		expect(await names(opened, large)).toEqual(['default/plan-1'])
		await opened.log.trim(PLAN, 3, { base: '{}', reason: 'trimmed' })
		expect(await names(opened, large)).toEqual([])
	})
}

function naming(open: Open): void {
	const names = (id: string, ...artifacts: string[]) => ({ ...record(id), artifacts })
	const owners = async ({ log }: OpenedLog, ...ids: string[]) =>
		(await log.artifactOwners(ids)).map(({ tenant, artifact_id }) => `${tenant}/${artifact_id}`).sort()

	it('lists the tenants whose plans name an artifact', async () => {
		await using opened = await open()
		await opened.log.append(PLAN, [names('a', 'x', 'y'), names('b', 'x')])
		await opened.log.append({ ...PLAN, plan_id: 'second' }, [names('a', 'x')])
		await opened.log.append({ ...PLAN, tenant: 'other' }, [names('a', 'x')])
		expect(await owners(opened, 'x', 'y', 'z')).toEqual(['default/x', 'default/y', 'other/x'])
	})

	const released = async ({ log }: OpenedLog, limit = 9) =>
		(await log.releasedArtifacts(limit)).map(({ tenant, artifact_id }) => `${tenant}/${artifact_id}`).sort()

	it('releases the artifacts that a trimmed or removed log no longer names, until they are forgotten', async () => {
		await using opened = await open()
		const { log } = opened
		const onRemove = vi.fn()
		using _watch = log.watchRemovals(onRemove)
		await log.append(PLAN, [names('a', 'gone', 'kept', 'again'), names('b', 'again'), record('c')])
		await log.trim(PLAN, 2, { base: '{}', reason: 'cleared', artifacts: ['kept'] })
		expect(await released(opened)).toEqual(['default/gone'])
		expect(await owners(opened, 'gone', 'kept', 'again')).toEqual(['default/again', 'default/kept'])
		await log.trim(PLAN, 4, { base: '{}', reason: 'cleared', artifacts: ['again'] })
		await log.append({ ...PLAN, tenant: 'other' }, [names('a', 'gone')])
		await log.remove({ ...PLAN, tenant: 'other' })
		await log.append({ ...PLAN, plan_id: 'second' }, [names('a', 'again', 'gone')])
		await log.remove(PLAN)
		await log.remove(PLAN)
		expect(onRemove).toHaveBeenCalledTimes(5)
		expect(await released(opened)).toEqual(['default/again', 'default/gone', 'default/kept', 'other/gone'])
		expect(await released(opened, 3)).toHaveLength(3)
		expect(await owners(opened, 'gone', 'kept', 'again')).toEqual(['default/again', 'default/gone'])
		await log.forgetReleased([
			{ tenant: 'default', artifact_id: 'gone' },
			{ tenant: 'default', artifact_id: 'again' },
		])
		expect(await released(opened)).toEqual(['default/kept', 'other/gone'])
		expect(await owners(opened, 'gone', 'again')).toEqual(['default/again', 'default/gone'])
	})

	it('counts what an unfinished import names for its tenant, and releases it when the import is refused', async () => {
		await using opened = await open()
		const { log } = opened
		const staged = toStagedKey(PLAN)
		await log.begin(staged, ORIGIN, 5, ['in-base'])
		await log.append(staged, [names('a', 'in-event')])
		expect(await owners(opened, 'in-base', 'in-event')).toEqual(['default/in-base', 'default/in-event'])
		await log.rename(staged, PLAN, DONE)
		expect(await owners(opened, 'in-base', 'in-event')).toEqual(['default/in-base', 'default/in-event'])
		await log.begin(staged, null, 0)
		await log.append(staged, [names('a', 'refused')])
		await log.remove(staged)
		expect(await released(opened)).toEqual(['default/refused'])
	})
}

function copying(open: Open): void {
	it('returns records as they are stored, in pages, with the snapshot that replaces trimmed ones', async () => {
		await using opened = await open()
		expect(await opened.log.records(PLAN, 1, 10)).toBeNull()
		const batch = records('a', 5)
		const { head } = await opened.log.append(PLAN, batch)
		const first = await opened.log.records(PLAN, 1, 2)
		expect(first).toMatchObject({ head, origin: null })
		let fingerprint = EMPTY_FINGERPRINT
		const all = [...(first?.records ?? []), ...((await opened.log.records(PLAN, 3, 10))?.records ?? [])]
		expect(all).toEqual(
			batch.map(({ event_id, sent_digest, text }, index) => {
				fingerprint = computeFingerprint(fingerprint, event_id, text)
				return { seq: index + 1, event_id, sent_digest, fingerprint, text }
			}),
		)
		await opened.log.trim(PLAN, 4, { base: '{"at":3}', reason: 'cleared' })
		const origin = { seq: 3, fingerprint: all[2]?.fingerprint, base: '{"at":3}', reason: 'cleared' }
		expect(await opened.log.records(PLAN, 1, 10)).toEqual({ head: { ...head, oldest_seq: 4 }, origin, records: all.slice(3) })
		expect(await opened.log.records(PLAN, 5, 10)).toMatchObject({ origin: null, records: all.slice(4) })
		expect((await opened.log.records(PLAN, 6, 10))?.records).toEqual([])
	})

	it('probes without changing anything', async () => {
		await using opened = await open()
		const { head } = await opened.log.append(PLAN, records('a', 2))
		await opened.log.probe()
		await opened.log.probe()
		expect(await opened.log.head(PLAN)).toEqual(head)
	})
}

const ORIGIN = { seq: 7, fingerprint: 'abcdefabcdef0123', base: '{"at":7}', reason: 'trimmed' } as const
const DONE = summary(PLAN.plan_id, { finished: true })

function restoring(open: Open): void {
	const staged: PlanKey = toStagedKey(PLAN)

	it('creates a log that continues from a snapshot, and shows it under its key once it is complete', async () => {
		await using opened = await open()
		const { log } = opened
		const ring = vi.fn()
		using _plan = log.watch(PLAN, ring)
		using _tenant = log.watch({ tenant: PLAN.tenant }, ring)
		await log.begin(staged, ORIGIN, 5)
		await log.append(staged, [record('a', { transient: true }), record('b')], { expected_seq: 7 })
		expect(await log.head(PLAN)).toBeNull()
		expect((await log.list({ tenant: PLAN.tenant, limit: 9 })).plans).toEqual([])
		expect(ring).not.toHaveBeenCalled()

		await log.rename(staged, PLAN, DONE)
		expect(ring).toHaveBeenCalledTimes(2)
		expect(await log.head(staged)).toBeNull()
		const head = await log.head(PLAN)
		expect(head).toMatchObject({ head_seq: 9, state_seq: 9, oldest_seq: 8, summary: DONE })
		const page = await log.read(PLAN, 'start', 9)
		expect(page).toMatchObject({ verdict: { reset: 'trimmed', epoch: head?.epoch }, from_seq: 8, base: ORIGIN.base })
		expect(page.from_cursor).toEqual({ epoch: head?.epoch, seq: 7, fingerprint: ORIGIN.fingerprint })
		expect((await log.records(PLAN, 1, 9))?.origin).toEqual(ORIGIN)
		expect((await log.list({ tenant: PLAN.tenant, limit: 9 })).plans).toEqual([DONE])
		expect((await log.append(PLAN, [record('b')])).results).toEqual([{ event_id: 'b', seq: 9, duplicate: true }])
	})

	it('creates a log of a snapshot alone', async () => {
		await using opened = await open()
		await opened.log.begin(staged, { ...ORIGIN, reason: 'cleared' }, 5)
		await opened.log.rename(staged, PLAN, DONE)
		expect(await opened.log.head(PLAN)).toMatchObject({
			head_seq: 7,
			state_seq: 5,
			oldest_seq: 8,
			fingerprint: ORIGIN.fingerprint,
		})
		expect((await opened.log.read(PLAN, { seq: 3 }, 9)).verdict.reset).toBe('cleared')
	})

	it('rejects a second log under one key, and leaves the first unchanged', async () => {
		await using opened = await open()
		const { log } = opened
		const { head } = await log.append(PLAN, [record('a')])
		await log.begin(staged, null, 0)
		await expect(log.begin(staged, null, 0)).rejects.toMatchObject({ code: 'conflict', facts: { plan_id: PLAN.plan_id } })
		await log.append(staged, [record('b')])
		await expect(log.rename(staged, PLAN, DONE)).rejects.toMatchObject({ code: 'conflict', facts: { plan_id: PLAN.plan_id } })
		expect(await log.head(PLAN)).toEqual(head)
		expect(await log.head(staged)).toMatchObject({ head_seq: 1 })
		await log.remove(staged)
		await expect(log.rename(staged, { ...PLAN, plan_id: 'free' }, DONE)).rejects.toMatchObject({ code: 'not_found' })
	})
}
