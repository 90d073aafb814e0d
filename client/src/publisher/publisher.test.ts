import { ERRORS, type ErrorCode, PlanstreamError } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import { ManualClock } from '#test/support/manual-clock.js'
import type { PublishInput } from '../generated/commands.js'
import type { EventInput } from '../generated/event-inputs.js'
import { Lifetime } from '../timing.js'
import type { CallOptions, Route } from '../types.js'
import { createPublisher, type PublisherOptions } from './publisher.js'

type Answer = PlanstreamError | 'never'

const failure = (code: ErrorCode, facts = {}) => new PlanstreamError(code, ERRORS[code].title, facts)
const SILENCE = failure('unreachable')
const SILENCE_MS = 37_500

const event = (progress: number): EventInput => ({ event_type: 'step_progress', step_id: 'a', data: { progress } })
const settled = () => new Promise((resolve) => setImmediate(resolve))

/** Sets up a publisher on a server that gives these answers in turn and then accepts everything. */
function setUp(answers: Answer[] = [], options: PublisherOptions = {}) {
	const clock = new ManualClock()
	const scope = new Lifetime()
	const sent: PublishInput[] = []
	let ids = 0
	let stored = 0
	const call = async (route: Route, input: object, { signal }: CallOptions = {}) => {
		expect(route).toMatchObject({ kind: 'mutation', method: 'POST' })
		const { events } = input as PublishInput
		sent.push(structuredClone(input as PublishInput))
		const answer = answers.shift()
		if (answer === 'never') await new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
		if (answer instanceof PlanstreamError) throw answer
		const results = events.map(({ event_id }) => ({ event_id, seq: ++stored, duplicate: false }))
		return { epoch: 'e', cursor: 'c', results }
	}
	const backoff = { initialMs: 100, factor: 2, maxMs: 1000 }
	const publisher = createPublisher('p', options, {
		call: call as never,
		scope,
		clock,
		random: () => 0.5,
		backoff,
		silenceMs: SILENCE_MS,
		makeId: () => `id-${++ids}`,
	})
	/** Advances the clock until nothing is pending. */
	const run = async () => {
		for (await settled(); clock.pending > 0 && clock.now() < 1e7; await settled()) clock.advance(50)
	}
	const batches = () => sent.map(({ events }) => events.map(({ event_id }) => event_id))
	return { publisher, clock, scope, sent, batches, run }
}

describe('createPublisher', () => {
	it('batches events published in the same turn, and those published meanwhile as the next batch', async () => {
		const { publisher, batches, run, clock } = setUp()
		const first = await publisher.publish(event(0.1))
		await publisher.publish({ ...event(0.2), event_id: 'mine' })
		expect(publisher.buffered).toBe(2)
		clock.advance(0)
		const later = await publisher.publish(event(0.3))
		await run()
		expect(batches()).toEqual([['id-1', 'mine'], ['id-2']])
		expect(first.event_id).toBe('id-1')
		expect(await first.stored).toEqual({ event_id: 'id-1', seq: 1, duplicate: false })
		expect(await later.stored).toMatchObject({ seq: 3 })
		expect(publisher.buffered).toBe(0)
		expect(clock.pending).toBe(0)
	})

	it('resends the identical batch with growing delays until the server answers', async () => {
		const retries: string[] = []
		const onRetry = ({ code }: PlanstreamError) => void retries.push(code)
		const { publisher, sent, run, clock } = setUp([SILENCE, failure('draining', { retry_after_ms: 5000 }), SILENCE], { onRetry })
		const changing = { event_type: 'step_progress' as const, step_id: 'a', data: { progress: 0.1 } }
		await publisher.publish(changing)
		changing.data.progress = 0.9
		await publisher.publish(event(0.2))
		clock.advance(0)
		await settled()
		await publisher.publish(event(0.3))
		await run()
		expect(sent).toHaveLength(5)
		expect(new Set(sent.slice(0, 4).map((input) => JSON.stringify(input))).size).toBe(1)
		expect(sent[0]?.events).toMatchObject([{ data: { progress: 0.1 } }, { data: { progress: 0.2 } }])
		expect(retries).toEqual(['unreachable', 'draining', 'unreachable'])
		expect(clock.now()).toBeGreaterThanOrEqual(50 + 5000 + 100 + 200)
	})

	it('retries when an answer is missing for 2.5 heartbeats', async () => {
		const { publisher, batches, run, clock } = setUp(['never'])
		const { stored } = await publisher.publish(event(0.1))
		await run()
		expect(await stored).toMatchObject({ seq: 1 })
		expect(batches()).toEqual([['id-1'], ['id-1']])
		expect(clock.now()).toBeGreaterThanOrEqual(SILENCE_MS)
	})

	it('blocks publish while 1,024 events are in flight, and keeps the order', async () => {
		const { publisher, sent, run } = setUp()
		let accepted = 0
		const all = Array.from({ length: 1500 }, (_, at) => publisher.publish(event(at / 1500)).then(() => accepted++))
		await settled()
		expect(accepted).toBe(1024)
		expect(publisher.buffered).toBe(1024)
		await run()
		await Promise.all(all)
		await publisher.flush()
		const ids = sent.flatMap(({ events }) => events.map(({ event_id }) => event_id))
		expect(ids).toEqual(Array.from({ length: 1500 }, (_, at) => `id-${at + 1}`))
	})

	it('rejects calls when 16,384 are waiting', async () => {
		const { publisher } = setUp(['never'])
		for (let at = 0; at < 1024 + 16_384; at++) void publisher.publish(event(0))
		await expect(publisher.publish(event(0))).rejects.toMatchObject({ code: 'rate_limited' })
	})

	it('stops at a refusal: rejects its batch and all later calls, and keeps what was stored', async () => {
		const { publisher, batches, run, clock } = setUp()
		const before = await publisher.publish(event(0.1))
		await run()
		const refusal = failure('invalid_event', { path: 'events.1.data.progress' })
		const refused = setUp([refusal])
		const good = await refused.publisher.publish(event(0.1))
		const bad = await refused.publisher.publish(event(7))
		refused.clock.advance(0)
		const behind = await refused.publisher.publish(event(0.3))
		const flushed = refused.publisher.flush().catch((error: unknown) => error)
		await refused.run()
		for (const { stored } of [good, bad])
			await expect(stored).rejects.toMatchObject({ code: 'invalid_event', facts: { event_id: 'id-2' } })
		await expect(behind.stored).rejects.toMatchObject({ code: 'illegal_transition', cause: { code: 'invalid_event' } })
		expect(await flushed).toMatchObject({ code: 'invalid_event' })
		expect(refused.publisher).toMatchObject({ state: 'stopped', buffered: 0, stoppedBy: { code: 'invalid_event' } })
		await expect(refused.publisher.publish(event(0.4))).rejects.toMatchObject({ code: 'illegal_transition' })
		await expect(refused.publisher.close()).rejects.toMatchObject({ code: 'invalid_event' })
		expect(refused.batches()).toEqual([['id-1', 'id-2']])
		expect(await before.stored).toMatchObject({ seq: 1 })
		expect([batches(), clock.pending]).toEqual([[['id-1']], 0])
	})

	it('sends events that the log already has in a batch of their own, before the new ones', async () => {
		const { publisher, batches, run } = setUp([failure('conflict', { duplicates: ['a', 'c'] })])
		const accepted = [...'abc'].map((event_id) => publisher.publish({ ...event(0), event_id }))
		await run()
		expect(batches()).toEqual([['a', 'b', 'c'], ['a', 'c'], ['b']])
		const stored = await Promise.all(accepted.map(async (each) => (await each).stored))
		expect(stored.map(({ event_id, seq }) => [event_id, seq])).toEqual([
			['a', 1],
			['b', 3],
			['c', 2],
		])
	})

	it('sends nothing new when a stored event differs', async () => {
		const { publisher, batches, run } = setUp([
			failure('conflict', { duplicates: ['a'] }),
			failure('conflict', { event_id: 'a' }),
		])
		for (const event_id of ['a', 'b']) await publisher.publish({ ...event(0), event_id })
		await run()
		expect(batches()).toEqual([['a', 'b'], ['a']])
		expect(publisher.stoppedBy).toMatchObject({ code: 'conflict', facts: { event_id: 'a' } })
	})

	it('gives up after its timeout', async () => {
		const answers = Array.from({ length: 1000 }, () => SILENCE)
		const { publisher, run, clock } = setUp(answers, { giveUpAfterMs: 5000 })
		const { stored } = await publisher.publish(event(0))
		await run()
		await expect(stored).rejects.toBe(SILENCE)
		expect(clock.now()).toBeLessThan(7000)
	})

	it('closes once everything is stored, accepts nothing more, and waits for an unreachable server', async () => {
		const { publisher, run, clock } = setUp([SILENCE, SILENCE])
		const { stored } = await publisher.publish(event(0))
		const closed = publisher.close()
		expect(publisher.state).toBe('closing')
		await expect(publisher.publish(event(1))).rejects.toThrow('This publisher is closed')
		await run()
		await closed
		expect(await stored).toMatchObject({ seq: 1 })
		expect(publisher.state).toBe('closed')
		expect(clock.pending).toBe(0)
	})

	it('stops with its client at any point', async () => {
		const { publisher, scope, clock } = setUp(['never'])
		const { stored } = await publisher.publish(event(0))
		clock.advance(0)
		const { stored: behind } = await publisher.publish(event(0))
		await settled()
		scope.close()
		await expect(stored).rejects.toThrow('This client is closed')
		await expect(behind).rejects.toMatchObject({ code: 'illegal_transition' })
		expect(publisher.state).toBe('stopped')
		expect(clock.pending).toBe(0)
		expect(() => setUp([], { giveUpAfterMs: Number.NaN })).toThrow('giveUpAfterMs is NaN')
	})

	it('rejects values that are not JSON and continues', async () => {
		const { publisher, run } = setUp()
		const circle: Record<string, unknown> = {}
		circle.self = circle
		await expect(publisher.publish({ event_type: 'plan_completed', data: circle })).rejects.toMatchObject({
			code: 'invalid_event',
		})
		const { stored } = await publisher.planCompleted('done')
		await run()
		expect(await stored).toMatchObject({ seq: 1 })
	})

	it('has a helper for each event type', async () => {
		const { publisher, sent, run } = setUp()
		await publisher.planStarted('Why?', 1)
		await publisher.stepProgress('a', 0.5, 'half')
		await publisher.stepStarted('a', 'Collect', { attempt: 2 })
		await publisher.qualityCheck(null, 0.9, 'approved', true)
		await publisher.metricsUpdate(null, { tokens: 7 })
		await publisher.error('a', 'x', 'broken')
		await publisher.planCompleted()
		await run()
		expect(sent[0]?.events).toEqual([
			{ event_id: 'id-1', event_type: 'plan_started', data: { query: 'Why?', total_steps: 1 } },
			{ event_id: 'id-2', event_type: 'step_progress', step_id: 'a', data: { progress: 0.5, message: 'half' } },
			{ event_id: 'id-3', event_type: 'step_started', step_id: 'a', data: { name: 'Collect', attempt: 2 } },
			{
				event_id: 'id-4',
				event_type: 'quality_check',
				step_id: null,
				data: { quality_score: 0.9, decision: 'approved', passed: true },
			},
			{ event_id: 'id-5', event_type: 'metrics_update', step_id: null, data: { tokens: 7 } },
			{ event_id: 'id-6', event_type: 'error', step_id: 'a', data: { code: 'x', message: 'broken' } },
			{ event_id: 'id-7', event_type: 'plan_completed', data: {} },
		])
	})
})
