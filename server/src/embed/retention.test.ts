import type { EventInput } from '@planstream/shared'
import { createInput, eventInput } from '@planstream/shared/schemas'
import { describe, expect, it } from 'vitest'
import { startPlanstream } from '#test/support/plans/test-planstream.js'
import { Hub } from '../hub/hub.js'
import { LOCAL_PRINCIPAL } from '../hub/principal.js'
import type { EventLog } from '../log/event-log.js'
import { openLog } from '../log/open.js'
import { Retention, type RetentionLimits } from './retention.js'

const DAY_MS = 86_400_000

/** Drives retention with a clock and turns that the test controls. */
class Keeper {
	readonly problems: string[] = []
	readonly delays: number[] = []
	readonly hub: Hub
	readonly retention: Retention
	now = Date.parse('2026-01-01T00:00:00.000Z')
	#due: (() => void) | null = null
	#waits: () => void = () => undefined

	readonly #log: EventLog

	constructor(log: EventLog, limits: RetentionLimits = {}) {
		this.#log = log
		const clock = () => this.now
		const onProblem = (message: string) => void this.problems.push(message)
		this.hub = new Hub({ log, clock, onProblem })
		this.retention = new Retention({ ...limits, hub: this.hub, log, clock, schedule: this.#schedule, onProblem })
		this.retention.start()
	}

	readonly #schedule = (callback: () => void, delayMs: number): Disposable => {
		this.#due = callback
		this.delays.push(delayMs)
		this.#waits()
		return { [Symbol.dispose]: () => (this.#due = null) }
	}

	get waiting(): boolean {
		return this.#due !== null
	}

	/** Runs turns while the last one left something to do, and returns their number. */
	async settle(): Promise<number> {
		for (let turns = 1; ; turns++) {
			const next = new Promise<void>((resolve) => {
				this.#waits = resolve
			})
			this.#due?.()
			await next
			if (this.delays.at(-1) === 60_000) return turns
		}
	}

	async publish(plan_id: string, ...events: EventInput[]): Promise<void> {
		for (let at = 0; at < events.length; at += 5000) {
			const sent = events.slice(at, at + 5000)
			await this.hub.publish(LOCAL_PRINCIPAL, { plan_id, sent, events: sent.map((event) => eventInput.parse(event)) })
		}
	}

	async names(): Promise<string[]> {
		return (await this.hub.list(LOCAL_PRINCIPAL, { limit: 1000 })).plans.map(({ plan_id }) => plan_id).sort()
	}

	head(plan_id: string) {
		return this.#log.head({ tenant: 'default', plan_id })
	}
}

const error: EventInput = { event_type: 'error', data: { code: 'x', message: 'x' } }
const progress: EventInput = { event_type: 'step_progress', step_id: 's', data: { progress: 0.5 } }
const done: EventInput = { event_type: 'plan_completed', data: {} }

async function startKeeper(limits?: RetentionLimits): Promise<Keeper> {
	return new Keeper(await openLog({ kind: 'memory' }), limits)
}

describe('Retention', () => {
	it('removes a finished plan after seven days and leaves all others', async () => {
		const keeper = await startKeeper()
		await keeper.publish('finished', error, done)
		await keeper.publish('open', error)
		keeper.now += DAY_MS
		await keeper.publish('later', done)
		keeper.now += 6 * DAY_MS
		await keeper.settle()
		expect(await keeper.names()).toEqual(['finished', 'later', 'open'])
		keeper.now += 1
		await keeper.settle()
		expect(await keeper.names()).toEqual(['later', 'open'])
		expect(await keeper.hub.state(LOCAL_PRINCIPAL, 'finished')).toBeNull()
		expect(keeper.problems).toEqual([])
	})

	it('removes an external plan after thirty days without any event, progress included', async () => {
		const keeper = await startKeeper()
		await keeper.publish('silent', error)
		await keeper.publish('chatty', error)
		keeper.now += 30 * DAY_MS
		await keeper.publish('chatty', progress)
		keeper.now += 7 * DAY_MS
		await keeper.settle()
		expect(await keeper.names()).toEqual(['chatty', 'silent'])
		keeper.now += 1
		await keeper.settle()
		expect(await keeper.names()).toEqual(['chatty'])
		expect(await keeper.hub.state(LOCAL_PRINCIPAL, 'chatty')).toMatchObject({ status: 'pending', seq: 2 })
	})

	it('never removes an unfinished managed plan', async () => {
		await using planstream = await startPlanstream()
		const keeper = new Keeper(planstream.log)
		const steps = [{ step_id: 'a', action: 'x', agent_type: 'scripted' }]
		await planstream.run({ plan_id: 'done', query: 'q', steps })
		await planstream.executor.create(LOCAL_PRINCIPAL, createInput.parse({ plan_id: 'waits', query: 'q', steps, start: false }))
		keeper.now = Date.now() + 400 * DAY_MS
		await keeper.settle()
		expect(await keeper.names()).toEqual(['waits'])
	})

	it('trims a finished plan to its newest events, at most 20,000 a turn, and no unfinished plan', async () => {
		const keeper = await startKeeper({ finishedEvents: 1000 })
		const many = Array.from({ length: 45_000 }, () => progress)
		await keeper.publish('long', ...many)
		expect(await keeper.settle()).toBe(1)
		expect(await keeper.head('long')).toMatchObject({ oldest_seq: 1, head_seq: 45_000 })
		const before = await keeper.hub.state(LOCAL_PRINCIPAL, 'long')
		await keeper.publish('long', error, done)
		await keeper.publish('short', ...many.slice(0, 999), done)
		expect(await keeper.settle()).toBe(4)
		expect(keeper.delays).toEqual([60_000, 60_000, 1000, 1000, 1000, 60_000])
		expect(await keeper.head('long')).toMatchObject({ oldest_seq: 44_003, head_seq: 45_002 })
		expect(await keeper.head('short')).toMatchObject({ oldest_seq: 1, head_seq: 1000 })
		expect(await keeper.hub.state(LOCAL_PRINCIPAL, 'long')).toMatchObject({ steps: before?.steps, status: 'completed' })
	}, 30_000)

	it('removes up to its limit a turn, and continues soon', async () => {
		const keeper = await startKeeper()
		for (let plan = 0; plan < 250; plan++) await keeper.publish(`p${plan}`, done)
		keeper.now += 8 * DAY_MS
		expect(await keeper.settle()).toBe(3)
		expect(await keeper.names()).toEqual([])
	})

	it('keeps everything when its limits are off', async () => {
		const keeper = await startKeeper({ finishedMs: null, finishedEvents: null, silentMs: null })
		await keeper.publish('finished', error, done)
		await keeper.publish('silent', error)
		keeper.now += 1000 * DAY_MS
		expect(await keeper.settle()).toBe(1)
		expect(await keeper.names()).toEqual(['finished', 'silent'])
	})

	it('reports a store failure and tries again', async () => {
		const log = await openLog({ kind: 'memory' })
		const keeper = new Keeper(log)
		await log.close()
		await keeper.settle()
		expect(keeper.problems).toEqual(['Old plans could not be removed or trimmed. The next run tries again.'])
		expect(keeper.waiting).toBe(true)
	})

	it('runs no further turn once it is stopped', async () => {
		const keeper = await startKeeper()
		await keeper.settle()
		await keeper.retention.stop()
		expect(keeper.waiting).toBe(false)
	})
})
