import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openLog } from '../../../server/src/log/open.js'
import { Health } from '../../../server/src/ops/health.js'
import type { RunningServer } from '../../../server/src/server.js'
import { startTestPlanstream } from '../../../server/src/testing/test-planstream.js'
import { getProblem, post, sendRequest } from '../../support/http-request.js'

const STEPS = 80
let directory: string
let server: RunningServer

/** Writes events of 1 MB straight into the store, below the checks, as a version without limits took them. */
beforeAll(async () => {
	directory = await mkdtemp(path.join(tmpdir(), 'planstream-oversized-'))
	const log = await openLog({ kind: 'sqlite', directory }, new Health())
	const timestamp = '2026-01-01T00:00:00.000Z'
	const append = (event_id: string, event_type: string, step_id: string | null, data: object) => {
		const text = JSON.stringify({
			event_id,
			event_type,
			plan_id: 'huge',
			step_id,
			data,
			timestamp,
			actor: { type: 'user', id: 'x' },
		})
		const times = { created_at: timestamp, started_at: timestamp, finished_at: timestamp, updated_at: timestamp }
		const counted = {
			owner: 'external' as const,
			status: 'failed' as const,
			finished: true,
			query: 'q',
			labels: {},
			revision: 0,
			progress: 0,
		}
		const summary = { plan_id: 'huge', ...counted, ...times }
		return log.append({ tenant: 'default', plan_id: 'huge' }, [{ event_id, text, sent_digest: '', transient: false }], {
			summary,
		})
	}
	for (let step = 0; step < STEPS; step++) await append(`e${step}`, 'step_started', `s${step}`, { name: 'n'.repeat(1_000_000) })
	await append('end', 'plan_failed', null, { error: { code: 'x', message: 'm', retryable: false } })
	await log.close()
	server = await startTestPlanstream({ store: { kind: 'sqlite', directory } })
}, 60_000)
afterAll(async () => {
	await server.close()
	await rm(directory, { recursive: true, force: true })
})

describe('A plan stored with a state larger than can be read', { timeout: 60_000 }, () => {
	it('answers its state with a typed error on every transport, and disturbs no other plan', async () => {
		expect(getProblem(await sendRequest(server, '/api/v1/plans/huge'))).toMatchObject({ code: 'too_large' })
		const input = encodeURIComponent(JSON.stringify({ plan_id: 'huge' }))
		expect(getProblem(await sendRequest(server, `/trpc/plans.get?input=${input}`))).toMatchObject({ code: 'too_large' })
		const snapshot = await sendRequest(server, '/api/v1/streaming/plans/huge/events?after=now&snapshot=true')
		expect(snapshot.text).toContain('too_large')
		const other = await post(server, '/api/v1/streaming/plans/other/events', {
			events: [{ event_type: 'plan_started', data: { query: 'q', total_steps: 1 } }],
		})
		expect(other.status).toBe(200)
	})

	it('streams its events, is listed, and can be deleted', async () => {
		const page = await sendRequest(server, '/api/v1/streaming/plans/huge/history?limit=1')
		expect(page.body).toMatchObject({ events: [{ seq: 1, step_id: 's0' }] })
		expect((await sendRequest(server, '/api/v1/plans')).body).toMatchObject({
			plans: expect.arrayContaining([expect.objectContaining({ plan_id: 'huge' })]),
		})
		expect((await sendRequest(server, '/api/v1/plans/huge', { method: 'DELETE' })).status).toBe(200)
		expect((await sendRequest(server, '/api/v1/plans/huge')).status).toBe(404)
	})
})
