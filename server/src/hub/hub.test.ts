import type { EventInput, PlanEvent } from '@planstream/shared'
import { applyEvent, initialPlanState, PlanstreamError, parsePosition } from '@planstream/shared'
import { eventInput } from '@planstream/shared/schemas'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { EventLog } from '../log/event-log.js'
import { openLog } from '../log/open.js'
import { Hub } from './hub.js'
import { LOCAL_PRINCIPAL } from './principal.js'
import { parseEvent, type StreamItem } from './stream.js'
import type { SubscribeRequest } from './subscribe.js'

const problems: string[] = []
const hubOn = (log: EventLog) => new Hub({ log, clock: Date.now, onProblem: (message) => void problems.push(message) })
const openHub = async () => {
	const log = await openLog({ kind: 'memory' })
	return { log, hub: hubOn(log) }
}

function publish(hub: Hub, events: EventInput[], more: { plan_id?: string; expected_seq?: number } = {}) {
	return hub.publish(LOCAL_PRINCIPAL, {
		plan_id: 'p',
		events: events.map((event) => eventInput.parse(event)),
		sent: events,
		...more,
	})
}

const progress = (event_id?: string, value = 0.5): EventInput => ({
	event_type: 'step_progress',
	step_id: 's',
	data: { progress: value },
	...(event_id !== undefined && { event_id }),
})
const error = (event_id: string): EventInput => ({ event_type: 'error', event_id, data: { code: 'x', message: event_id } })
const completed: EventInput = { event_type: 'plan_completed', event_id: 'end', data: {} }

async function take(hub: Hub, request: Partial<SubscribeRequest> = {}, until: (item: StreamItem) => boolean = () => false) {
	const abort = new AbortController()
	const items: StreamItem[] = []
	const whole = { after: 'start', snapshot: false, follow: 'until_done', signal: abort.signal, ...request } as const
	for await (const item of hub.subscribe(LOCAL_PRINCIPAL, 'p', whole)) {
		items.push(item)
		if (until(item)) abort.abort()
	}
	return items
}
const eventsOf = (items: readonly StreamItem[]) =>
	items.flatMap((item) => (item.kind === 'event' ? [parseEvent(item.stored)] : []))
const framesOf = (items: readonly StreamItem[]) => items.flatMap((item) => (item.kind === 'frame' ? [item.frame] : []))

describe('publish', () => {
	it('returns sequence numbers, and the same ones for the same events', async () => {
		const { hub } = await openHub()
		const first = await publish(hub, [error('a'), error('b')])
		expect(first.results).toEqual([
			{ event_id: 'a', seq: 1, duplicate: false },
			{ event_id: 'b', seq: 2, duplicate: false },
		])
		await publish(hub, [error('c')])
		const again = await publish(hub, [error('a'), error('b')], { expected_seq: 77 })
		expect(again).toEqual({ ...first, results: first.results.map((result) => ({ ...result, duplicate: true })) })
	})

	it('repeats its answer to the last batch although the plan is closed', async () => {
		const { hub } = await openHub()
		const first = await publish(hub, [error('a'), completed])
		expect((await publish(hub, [error('a'), completed])).cursor).toBe(first.cursor)
		await expect(publish(hub, [error('b')])).rejects.toMatchObject({
			code: 'illegal_transition',
			facts: { from: 'completed', allowed: [] },
		})
		await expect(publish(hub, [error('a'), error('b')])).rejects.toMatchObject({ code: 'conflict', facts: { duplicates: ['a'] } })
	})

	it('rejects a known id with other content, and a batch that mixes known and new ids', async () => {
		const { hub } = await openHub()
		await publish(hub, [progress('a', 0.1)])
		await expect(publish(hub, [progress('a', 0.2)])).rejects.toMatchObject({ code: 'conflict', facts: { event_id: 'a' } })
		await expect(publish(hub, [progress('a', 0.1), progress('b')])).rejects.toMatchObject({
			code: 'conflict',
			facts: { duplicates: ['a'] },
		})
		await expect(publish(hub, [error('x'), error('x')])).rejects.toMatchObject({
			code: 'invalid_event',
			facts: { path: 'events.1.event_id' },
		})
	})

	it('rejects an unexpected head and says where it is', async () => {
		const { hub } = await openHub()
		await publish(hub, [error('a')], { expected_seq: 0 })
		await expect(publish(hub, [error('b')], { expected_seq: 0 })).rejects.toMatchObject({
			code: 'conflict',
			facts: { head_seq: 1 },
		})
		await publish(hub, [error('b')], { expected_seq: 1 })
	})

	it('reopens a failed plan with plan_resumed only', async () => {
		const { hub } = await openHub()
		await publish(hub, [{ event_type: 'plan_failed', data: { error: { code: 'x', message: 'x', retryable: true } } }])
		await expect(publish(hub, [error('a')])).rejects.toMatchObject({ facts: { allowed: ['plan_resumed'] } })
		await publish(hub, [{ event_type: 'plan_resumed', data: {} }, error('a')])
		expect((await hub.state(LOCAL_PRINCIPAL, 'p'))?.status).toBe('running')
	})

	it('stores each event of hundreds of concurrent batches once when two hubs share a log', async () => {
		const log = await openLog({ kind: 'memory' })
		const hubs = [hubOn(log), hubOn(log)] as const
		const sends = Array.from({ length: 400 }, (_, index) => ({ hub: hubs[index % 2] ?? hubs[0], id: `e${index % 150}` }))
		const outcomes = await Promise.allSettled(
			sends.map(({ hub, id }) => publish(hub, [id.endsWith('3') ? progress(id) : error(id)])),
		)
		const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
		for (const { reason } of refused) expect(reason).toMatchObject({ code: 'storage_unavailable' })
		await publish(hubs[0], [completed])
		const events = eventsOf(await take(hubs[1]))
		expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1))
		expect(new Set(events.map((event) => event.event_id)).size).toBe(events.length)
		const acknowledged = sends.filter((_, index) => outcomes[index]?.status === 'fulfilled').map(({ id }) => id)
		expect(new Set(events.map((event) => event.event_id))).toEqual(new Set([...acknowledged, 'end']))
		const folded = events.reduce(applyEvent, initialPlanState('p', 'external'))
		for (const hub of hubs) expect(await hub.state(LOCAL_PRINCIPAL, 'p')).toEqual(folded)
	})

	it('appends without conflict when one hub publishes', async () => {
		const { hub } = await openHub()
		await Promise.all(Array.from({ length: 500 }, (_, index) => publish(hub, [error(`e${index}`)])))
		const { results } = await publish(hub, [completed])
		expect(results[0]?.seq).toBe(501)
		expect(eventsOf(await take(hub)).map((event) => event.event_id)).toEqual([
			...Array.from({ length: 500 }, (_, index) => `e${index}`),
			'end',
		])
	})

	it('accepts up to 1,000 steps in one plan and later events about them', async () => {
		const { hub } = await openHub()
		const batch = (from: number, to: number) =>
			Array.from({ length: to - from }, (_, index) => ({ ...progress(), step_id: `s${from + index}` }) as EventInput)
		for (let from = 0; from < 1000; from += 250) await publish(hub, batch(from, from + 250))
		await expect(publish(hub, batch(999, 1001))).rejects.toMatchObject({ code: 'plan_full', facts: { limit: 1000 } })
		await publish(hub, [...batch(900, 1000), completed])
		expect((await hub.state(LOCAL_PRINCIPAL, 'p'))?.steps).toHaveLength(1000)
	})

	it('stores each event of two concurrent producers once, with any number of batches in flight', async () => {
		const { hub } = await openHub()
		const pairs = Array.from({ length: 100 }, (_, index) => [error(`e${index}`), error(`e${index}`)]).flat()
		const answers = await Promise.all(pairs.map((event) => publish(hub, [event])))
		const duplicates = answers.map(({ results }) => results[0]?.duplicate)
		expect(duplicates).toEqual(pairs.map((_, index) => index % 2 === 1))
		await publish(hub, [completed])
		expect(eventsOf(await take(hub)).map((event) => event.seq)).toEqual(Array.from({ length: 101 }, (_, index) => index + 1))
	})

	it('rejects other content under an id that is in flight', async () => {
		const { hub } = await openHub()
		const [first, second] = await Promise.allSettled([publish(hub, [error('a')]), publish(hub, [progress('a')])])
		expect(first.status).toBe('fulfilled')
		expect(second).toMatchObject({ reason: { code: 'conflict', facts: { event_id: 'a' } } })
	})

	it('keeps tenants apart', async () => {
		const { hub } = await openHub()
		const other = { ...LOCAL_PRINCIPAL, tenant: 'other' }
		await publish(hub, [error('a')])
		expect(await hub.state(other, 'p')).toBeNull()
		expect((await hub.list(other, { limit: 10 })).plans).toEqual([])
	})
})

describe('subscribe', () => {
	it('starts with ready, yields every event and ends at the head of a finished plan', async () => {
		const { hub } = await openHub()
		await publish(hub, [error('a'), error('b'), completed])
		const items = await take(hub)
		expect(framesOf(items).map((frame) => frame.frame)).toEqual(['ready', 'end'])
		expect(framesOf(items)[0]).toMatchObject({
			from_seq: 1,
			head_seq: 3,
			recovered: true,
			reset: null,
			state: null,
			plan_status: 'completed',
			owner: 'external',
		})
		expect(framesOf(items)[1]).toMatchObject({ reason: 'completed', final_seq: 3, resume: false })
	})

	it('waits for a plan that does not exist yet and reports its epoch before the first event', async () => {
		const { hub } = await openHub()
		const seen = take(hub)
		await publish(hub, [error('a'), completed])
		const frames = framesOf(await seen)
		expect(frames[0]).toMatchObject({ frame: 'ready', plan_status: 'unknown', epoch: null, cursor: '0' })
		expect(frames[1]).toMatchObject({ frame: 'ready', epoch: expect.any(String), from_seq: 1 })
	})

	it('gives all subscribers of a plan in progress the same events once and in order', async () => {
		await fc.assert(
			fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 30 }), async (batches) => {
				const { hub } = await openHub()
				const readers: Promise<StreamItem[]>[] = [take(hub)]
				let sent = 0
				for (const size of batches) {
					const events = Array.from({ length: size }, () => error(`e${sent++}`))
					const done = publish(hub, events)
					readers.push(take(hub))
					if (size % 2 === 0) await done
				}
				await publish(hub, [completed])
				const expected = [...Array.from({ length: sent }, (_, index) => `e${index}`), 'end']
				for (const items of await Promise.all(readers)) expect(eventsOf(items).map((event) => event.event_id)).toEqual(expected)
				expect(hub.report().subscriptions).toBe(0)
			}),
			{ numRuns: 25 },
		)
	})

	it('resumes after any cursor, and filters without moving a cursor otherwise', async () => {
		const { hub } = await openHub()
		await publish(hub, [error('a'), progress('b'), error('c'), progress('d'), completed])
		const all = eventsOf(await take(hub))
		for (const event of all) {
			const after = parsePosition(event.cursor) ?? 'start'
			expect(eventsOf(await take(hub, { after }))).toEqual(all.slice(event.seq))
		}
		const filtered = await take(hub, { event_types: new Set(['step_progress'] as const) })
		expect(eventsOf(filtered).map((event) => event.event_id)).toEqual(['b', 'd'])
		expect(framesOf(filtered).at(-1)).toMatchObject({ frame: 'end', cursor: all.at(-1)?.cursor })
		expect(eventsOf(await take(hub, { step_id: 's' })).map((event) => event.event_id)).toEqual(['b', 'd'])
	})

	it('yields the state just before the first event when asked for with now and start', async () => {
		const { hub } = await openHub()
		await publish(hub, [progress('a', 0.4), completed])
		const [now] = framesOf(await take(hub, { after: 'now', snapshot: true }))
		expect(now).toMatchObject({ from_seq: 3, state: { seq: 2, status: 'completed', steps: [{ step_id: 's', progress: 0.4 }] } })
		const [start] = framesOf(await take(hub, { after: 'start', snapshot: true }))
		expect(start).toMatchObject({ from_seq: 1, state: { seq: 0, steps: [] } })
	})

	it('resets to the oldest event with the state before it when a cursor cannot be honoured', async () => {
		const { hub } = await openHub()
		await publish(hub, [error('a'), completed])
		const fork = parsePosition(
			(eventsOf(await take(hub))[0] as PlanEvent).cursor.replace(/.$/, (last) => (last === '0' ? '1' : '0')),
		)
		const cases = [
			[{ seq: 9 }, 'rewind'],
			[{ epoch: 'other', seq: 1, fingerprint: '0'.repeat(16) }, 'epoch'],
			[fork, 'fork'],
		] as const
		for (const [after, reason] of cases) {
			const items = await take(hub, { after: after ?? 'start' })
			expect(framesOf(items)[0]).toMatchObject({ recovered: false, reset: { reason }, from_seq: 1, state: { seq: 0 } })
			expect(eventsOf(items)).toHaveLength(2)
		}
	})

	it('ends with reason "deleted" when the plan is removed', async () => {
		const { hub, log } = await openHub()
		await publish(hub, [error('a')])
		const items = await take(hub, {}, (item) => {
			if (item.kind === 'event') void log.remove({ tenant: 'default', plan_id: 'p' })
			return false
		})
		expect(framesOf(items).at(-1)).toMatchObject({ frame: 'end', reason: 'deleted', resume: false })
	})

	it('ends with reason "draining" and a cursor to resume from when the server stops', async () => {
		const { hub } = await openHub()
		await publish(hub, [error('a')])
		const abort = new AbortController()
		const items = await take(hub, { signal: abort.signal }, () => {
			setImmediate(() => abort.abort(new PlanstreamError('draining', 'stopping')))
			return false
		})
		expect(framesOf(items).at(-1)).toMatchObject({ frame: 'end', reason: 'draining', resume: true, final_seq: 1 })
	})

	it('leaves no watcher behind however it ends', async () => {
		const { hub } = await openHub()
		await publish(hub, [error('a'), error('b')])
		const signal = new AbortController().signal
		for await (const item of hub.subscribe(LOCAL_PRINCIPAL, 'p', { after: 'start', snapshot: false, follow: 'always', signal })) {
			if (item.kind === 'event') break
		}
		expect(hub.report().subscriptions).toBe(0)
	})
})

describe('event handlers', () => {
	it('receive each event of their type once and in order, and harm no one when they fail', async () => {
		const { hub } = await openHub()
		const seen: string[] = []
		const done = new Promise<void>((resolve) => {
			hub.on('error', () => Promise.reject(new Error('broken')))
			hub.on('error', async (event) => {
				await Promise.resolve()
				seen.push(event.data.message)
				if (seen.length === 3) resolve()
			})
		})
		await publish(hub, [error('a'), progress('x'), error('b')])
		await publish(hub, [error('a'), progress('x'), error('b')])
		await publish(hub, [error('c')])
		await done
		expect(seen).toEqual(['a', 'b', 'c'])
	})

	it('receive nothing once disposed', async () => {
		const { hub } = await openHub()
		const seen: string[] = []
		hub.on('error', (event) => void seen.push(event.data.message))[Symbol.dispose]()
		const next = new Promise<void>((resolve) => hub.on('plan_completed', () => resolve()))
		await publish(hub, [error('a'), completed])
		await next
		expect(seen).toEqual([])
	})
})
