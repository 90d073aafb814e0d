import type { Planstream } from '@planstream/client'
import type { PlanEvent, PlanSpec } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import { ServerProcess } from '../../support/servers/server-process.js'
import { quickClient } from '../../support/streams/crash-traffic.js'

const SCALE = Number(process.env.PLANSTREAM_TEST_SCALE ?? 1)
const KILLS = Math.ceil(10 * SCALE)
const KILLS_PER_PLAN = 3
const STEPS = 20
const SCRIPTED = { PLANSTREAM_SCRIPTED: '1' }

const updates = (wait_ms: number) => [{ progress: 0.3 }, { wait_ms }, { output: 'half way' }, { wait_ms }, { progress: 0.9 }]

function plan(plan_id: string, input: (index: number) => object): PlanSpec & { plan_id: string } {
	const steps = Array.from({ length: STEPS }, (_, index) => ({
		step_id: `s${index}`,
		action: 'work',
		agent_type: 'scripted',
		input: { ...input(index) },
		depends_on: [],
		retry: { max_attempts: 1 },
	}))
	return { plan_id, query: 'q', max_concurrency: STEPS, steps }
}

/** Follows a plan to its end; told of each event as it comes. */
async function followed(
	planstream: Planstream,
	plan_id: string,
	told: (event: PlanEvent) => Promise<void>,
): Promise<PlanEvent[]> {
	const events: PlanEvent[] = []
	for await (const event of planstream.plans.events({ plan_id })) {
		events.push(event)
		await told(event)
	}
	return events
}

/** Resolves when the plan shows an event of a type. */
async function shown(planstream: Planstream, plan_id: string, event_type: PlanEvent['event_type']): Promise<void> {
	for await (const event of planstream.plans.events({ plan_id, follow: 'always' })) if (event.event_type === event_type) return
}

async function restart(server: ServerProcess, signal?: 'SIGTERM'): Promise<void> {
	await server.kill(signal)
	await server.restart()
}

/** No completed step ran twice, and each attempt that did not come to its result says that its worker was lost. */
function assertAttempts(events: readonly PlanEvent[], reason: string): number {
	let cut = 0
	for (const step_id of new Set(events.flatMap((event) => event.step_id ?? []))) {
		const own = events.filter((event) => event.step_id === step_id)
		const attempts = own.flatMap((event) => (event.event_type === 'step_started' ? [event.attempt ?? 0] : []))
		expect(attempts).toEqual(attempts.map((_, index) => index + 1))
		const numbers = own.map((event) => event.attempt ?? 0)
		expect(numbers, `${step_id} has nothing that came late`).toEqual(numbers.toSorted((one, other) => one - other))
		const ends = own.filter((event) => ['step_completed', 'step_retrying', 'step_failed'].includes(event.event_type))
		const outcomes = ends.map((event) => (event.event_type === 'step_retrying' ? event.data.reason : event.event_type))
		expect(outcomes).toEqual([...attempts.slice(1).map(() => reason), 'step_completed'])
		cut += attempts.length - 1
	}
	return cut
}

describe('plans whose server is killed with SIGKILL', () => {
	it(`all finish after ${KILLS} kills at random moments of plans with ${STEPS} parallel steps`, async () => {
		await using server = await ServerProcess.start(SCRIPTED)
		await using planstream = quickClient(server.url)
		let cut = 0
		for (let left = KILLS; left > 0; left -= KILLS_PER_PLAN) {
			const plan_id = `p${left}`
			const kills = Array.from({ length: Math.min(left, KILLS_PER_PLAN) }, () => 1 + Math.floor(Math.random() * STEPS * 3))
			let seen = 0
			await planstream.plans.create(plan(plan_id, (index) => ({ updates: updates(index * 5), result: { index } })))
			const events = await followed(planstream, plan_id, async ({ event_type }) => {
				seen++
				if (event_type === 'plan_completed' || seen < (kills[0] ?? Number.POSITIVE_INFINITY)) return
				kills.shift()
				seen = 0
				await restart(server)
			})
			expect(events.at(-1)).toMatchObject({ event_type: 'plan_completed', data: { completed_steps: STEPS } })
			cut += assertAttempts(events, 'worker_lost')
			left += kills.length
		}
		expect(cut).toBeGreaterThan(0)
	})

	it('stay paused, become paused when they were pausing, and run no completed step again', async () => {
		await using server = await ServerProcess.start(SCRIPTED)
		await using planstream = quickClient(server.url)
		const half = (index: number) => (index < STEPS / 2 ? { result: { index } } : { updates: updates(60_000), ignore_abort: true })
		const spec = plan('p', half)
		await planstream.plans.create(spec)
		for (let seen = 0; seen < STEPS / 2; ) {
			seen = (await planstream.plans.get({ plan_id: 'p' })).steps.filter(({ status }) => status === 'completed').length
		}
		expect(await planstream.plans.pause({ plan_id: 'p', mode: 'interrupt' })).toMatchObject({ status: 'pausing' })
		await restart(server)
		for (let kill = 0; kill < 2; kill++) {
			expect((await planstream.plans.get({ plan_id: 'p' })).status).toBe('paused')
			await restart(server)
		}
		const ops = spec.steps
			.slice(STEPS / 2)
			.map(({ step_id }) => ({ op: 'update_step' as const, step_id, patch: { input: { result: {} } } }))
		await planstream.plans.modify({ plan_id: 'p', ops })
		await planstream.plans.resume({ plan_id: 'p' })
		const events = await followed(planstream, 'p', () => Promise.resolve())
		assertAttempts(events, 'worker_lost')
		const own = events.filter(({ step_id }) => step_id === null).map(({ event_type }) => event_type)
		expect(own).toEqual([
			'plan_created',
			'plan_started',
			'plan_pausing',
			'plan_paused',
			'plan_modified',
			'plan_resumed',
			'plan_completed',
		])
	})
})

describe('a planned stop', () => {
	it('is recorded as shutdown and counts as no failure', async () => {
		await using server = await ServerProcess.start(SCRIPTED)
		await using planstream = quickClient(server.url)
		await planstream.plans.create(plan('p', () => ({ updates: updates(100), result: {} })))
		await shown(planstream, 'p', 'step_progress')
		await restart(server, 'SIGTERM')
		const events = await followed(planstream, 'p', () => Promise.resolve())
		expect(events.at(-1)).toMatchObject({ event_type: 'plan_completed', data: { completed_steps: STEPS } })
		expect(assertAttempts(events, 'shutdown')).toBeGreaterThan(0)
	})
})

describe('a command with an idempotency key', () => {
	it('acts once when it is sent many times at the same time, and again after a SIGKILL', async () => {
		await using server = await ServerProcess.start(SCRIPTED)
		await using planstream = quickClient(server.url)
		await planstream.plans.create(plan('p', () => ({ updates: updates(60_000) })))
		const pause = () => planstream.plans.pause({ plan_id: 'p', mode: 'interrupt', idempotency_key: 'once' })
		const [first, ...others] = await Promise.all(Array.from({ length: 10 }, pause))
		await restart(server)
		for (const answer of [...others, await pause()]) expect(answer).toEqual(first)
		const cloned = () => planstream.plans.clone({ plan_id: 'p', start: false, idempotency_key: 'copy' })
		const copies = await Promise.all([cloned(), cloned(), cloned()])
		await restart(server)
		expect(new Set([...copies, await cloned()].map((copy) => copy.plan_id)).size).toBe(1)
		expect((await planstream.plans.list({ limit: 10 })).plans).toHaveLength(2)
	})
})
