import type { PlanSummary } from '@planstream/shared'
import { expect, it } from 'vitest'
import type { EventLog, ListQuery } from '../../server/src/log/event-log.js'
import { type OpenedLog, record, summary } from '../support/plans/log-records.js'

const PLANS: readonly PlanSummary[] = [
	summary('oldest', { created_at: '2026-01-01T00:00:00.000Z', query: 'Why is the sky BLUE', labels: { team: 'a' } }),
	summary('middle-1', {
		created_at: '2026-01-02T00:00:00.000Z',
		status: 'completed',
		finished: true,
		labels: { team: 'b', env: 'x' },
	}),
	summary('middle-2', { created_at: '2026-01-02T00:00:00.000Z', status: 'paused', labels: { team: 'b' } }),
	summary('newest', { created_at: '2026-01-03T00:00:00.000Z', owner: 'external', query: 'blue 100%_done' }),
]

/** Checks how `list` and `unfinished` return the stored summaries. */
export function listingSuite(open: () => Promise<OpenedLog>): void {
	const withPlans = async () => {
		const opened = await open()
		await Promise.all(PLANS.map((plan) => opened.log.append(keyOf(plan), [record('a')], { summary: plan })))
		await opened.log.append({ tenant: 'default', plan_id: 'no-summary' }, [record('a')])
		await opened.log.append({ tenant: 'other', plan_id: 'foreign' }, [record('a')], { summary: summary('foreign') })
		return opened
	}
	const found = async (log: EventLog, query: Partial<ListQuery>): Promise<string[]> => {
		const { plans } = await log.list({ tenant: 'default', limit: 10, ...query })
		return plans.map(({ plan_id }) => plan_id)
	}

	it('lists the plans of one tenant, newest first, by creation time and then id', async () => {
		await using opened = await withPlans()
		const page = await opened.log.list({ tenant: 'default', limit: 10 })
		expect(page).toEqual({ plans: ['newest', 'middle-2', 'middle-1', 'oldest'].map(byId), next_page: null })
	})

	it('filters by status, labels, text and time', async () => {
		await using opened = await withPlans()
		const { log } = opened
		expect(await found(log, { status: ['running', 'paused'] })).toEqual(['newest', 'middle-2', 'oldest'])
		expect(await found(log, { labels: { team: 'b' } })).toEqual(['middle-2', 'middle-1'])
		expect(await found(log, { labels: { team: 'b', env: 'x' } })).toEqual(['middle-1'])
		expect(await found(log, { labels: { toString: 'x' } })).toEqual([])
		expect(await found(log, { query: 'BLUE' })).toEqual(['newest', 'oldest'])
		expect(await found(log, { query: '%_' })).toEqual(['newest'])
		expect(await found(log, { created_after: '2026-01-02T00:00:00Z' })).toEqual(['newest', 'middle-2', 'middle-1'])
		expect(await found(log, { created_before: '2026-01-02T00:00:00Z' })).toEqual(['oldest'])
		expect(await found(log, { created_after: '2026-01-02T01:00:00+01:00', status: ['completed'] })).toEqual(['middle-1'])
	})

	it('returns the list in pages without duplicates or gaps', async () => {
		await using opened = await withPlans()
		const seen: string[] = []
		let page: string | undefined
		for (;;) {
			const { plans, next_page } = await opened.log.list({ tenant: 'default', limit: 1, ...(page === undefined ? {} : { page }) })
			seen.push(...plans.map(({ plan_id }) => plan_id))
			if (next_page === null) break
			page = next_page
		}
		expect(seen).toEqual(['newest', 'middle-2', 'middle-1', 'oldest'])
	})

	it('finds a few matches among many plans, page by page, with texts of any length and content', async () => {
		await using opened = await open()
		const { log } = opened
		const day = (index: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, index >> 1)).toISOString()
		const plans = Array.from({ length: 1500 }, (_, index) => {
			const long = index % 3 === 0 ? 'x'.repeat(600) : ''
			const labels = { team: `t${index % 7}`, 'a"\n': `${long}\n"]`, [`own ${index % 2}`]: long }
			const status = index % 5 === 0 ? 'paused' : 'running'
			return summary(`p${index}`, { created_at: day(index), status, labels, query: `${long}Ärger mit Nr. ${index}` })
		})
		await Promise.all(plans.map((plan) => log.append(keyOf(plan), [record('a')], { summary: plan })))
		const wanted = { status: ['paused', 'failed'], labels: { team: 't3', 'a"\n': '\n"]' }, query: 'ÄRGER MIT NR. 1' } as const
		const expected = plans.filter(({ status, labels, query }) => {
			return status === 'paused' && labels.team === 't3' && labels['a"\n'] === '\n"]' && query.includes('Nr. 1')
		})
		const seen: string[] = []
		for (let page: string | null | undefined; page !== null; ) {
			const found = await log.list({ tenant: 'default', limit: 3, ...wanted, ...(page === undefined ? {} : { page }) })
			seen.push(...found.plans.map(({ plan_id }) => plan_id))
			page = found.next_page
		}
		expect(seen.length).toBeGreaterThan(9)
		expect(seen.toSorted()).toEqual(expected.map(({ plan_id }) => plan_id).toSorted())
		expect(await found(log, { query: 'nr. 1499' })).toEqual(['p1499'])
		expect(await found(log, { query: 'nr. 0', created_before: day(2) })).toEqual(['p0'])
		expect(await found(log, { labels: { 'own 0': 'x'.repeat(600) }, limit: 1 })).toEqual(['p1494'])
	})

	it('cuts queries at 256 characters, between characters, but filters by the whole text', async () => {
		await using opened = await open()
		const { log } = opened
		const append = (plan: PlanSummary) => log.append(keyOf(plan), [record('a')], { summary: plan })
		await append(summary('long', { query: `${'q'.repeat(255)}\u{1f600} and the END` }))
		await append(summary('whole', { query: 'q'.repeat(256) }))
		const { plans } = await log.list({ tenant: 'default', limit: 10 })
		expect(plans.map(({ plan_id, query }) => [plan_id, query])).toEqual([
			['whole', 'q'.repeat(256)],
			['long', 'q'.repeat(255)],
		])
		expect(await found(log, { query: 'the end' })).toEqual(['long'])
	})

	it('ends a page after 4 MiB, and the next one begins with the plan that had no room', async () => {
		await using opened = await open()
		const { log } = opened
		const labels = Object.fromEntries(Array.from({ length: 32 }, (_, index) => [`label ${index}`, 'v'.repeat(32_000)]))
		const names = ['e', 'd', 'c', 'b', 'a']
		const plans = names.map((name) => summary(name, { labels, query: 'q'.repeat(65_536) }))
		await Promise.all(plans.map((plan) => log.append(keyOf(plan), [record('a')], { summary: plan })))
		const first = await log.list({ tenant: 'default', limit: 10 })
		expect(first.plans.map(({ plan_id }) => plan_id)).toEqual(['e', 'd', 'c', 'b'])
		const second = await log.list({ tenant: 'default', limit: 10, page: first.next_page ?? '' })
		expect(second.plans.map(({ plan_id }) => plan_id)).toEqual(['a'])
		expect(second.next_page).toBeNull()
	})

	it('rejects a page token it did not create, and an invalid time', async () => {
		await using opened = await withPlans()
		const list = (query: Partial<ListQuery>) => opened.log.list({ tenant: 'default', limit: 1, ...query })
		for (const page of ['', 'garbage', '!!', Buffer.from('[1,2]').toString('base64url')]) {
			await expect(list({ page }), page).rejects.toMatchObject({ code: 'bad_request', facts: { path: 'page' } })
		}
		await expect(list({ created_after: 'soon' })).rejects.toMatchObject({ code: 'bad_request', facts: { path: 'created_after' } })
	})

	it('shows a plan as its last append left it', async () => {
		await using opened = await withPlans()
		const plan = summary('oldest', { status: 'completed', finished: true, progress: 1 })
		await opened.log.append(keyOf(plan), [record('b')], { summary: plan })
		expect(await found(opened.log, { status: ['completed'] })).toEqual(['middle-1', 'oldest'])
	})

	it('lists the unfinished plans of every tenant that this server owns', async () => {
		await using opened = await withPlans()
		const names = async () => (await opened.log.unfinished()).map(({ tenant, plan_id }) => `${tenant}/${plan_id}`).sort()
		expect(await names()).toEqual(['default/middle-2', 'default/oldest', 'other/foreign'])
		await opened.log.append(keyOf(summary('oldest')), [record('b')], {
			summary: summary('oldest', { finished: true, status: 'failed' }),
		})
		expect(await names()).toEqual(['default/middle-2', 'other/foreign'])
	})
}

function keyOf({ plan_id }: PlanSummary) {
	return { tenant: 'default', plan_id }
}

function byId(plan_id: string): PlanSummary | undefined {
	return PLANS.find((plan) => plan.plan_id === plan_id)
}
