import { type ControlFrame, type PlanEvent, PlanstreamError, type SubscribeInput } from '@planstream/shared'
import { contract, SCOPES } from '@planstream/shared/schemas'
import { isTrackedEnvelope, TRPCError } from '@trpc/server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startPlanstream, type TestPlanstream } from '#test/support/plans/test-planstream.js'
import { createAnswerBudget } from '#test/support/servers/answer-budget.js'
import { Connections } from '../connections/connections.js'
import { LOCAL_PRINCIPAL, type Principal } from '../hub/principal.js'
import { processSchedule } from '../ops/clock.js'
import { formatError } from './errors.js'
import { createRouter } from './router.js'

const PLAN = { plan_id: 'plan_1', query: 'q', steps: [{ step_id: 'a', action: 'x', agent_type: 'scripted' }] }

let planstream: TestPlanstream
beforeAll(async () => {
	planstream = await startPlanstream()
	await planstream.run(PLAN)
})
afterAll(() => planstream[Symbol.asyncDispose]())

function start({
	principal = LOCAL_PRINCIPAL,
	...services
}: Partial<Parameters<typeof createRouter>[0]> & { principal?: Principal } = {}) {
	const problems: string[] = []
	const draining = new AbortController()
	const reader = new AbortController()
	const { hub, log, executor, artifacts } = planstream
	const onProblem = (message: string) => void problems.push(message)
	const connections = new Connections({ limit: 10, draining: draining.signal, clock: Date.now })
	const router = createRouter({
		hub,
		log,
		executor,
		artifacts,
		connections,
		answers: createAnswerBudget(),
		schedule: processSchedule,
		draining: draining.signal,
		onProblem,
		...services,
	})
	const caller = router.createCaller({ principal }, { signal: reader.signal })
	const events = async (input: Partial<SubscribeInput> = {}) => {
		const stream: AsyncIterable<unknown> = await caller.plans.events({ plan_id: 'plan_1', ...input })
		return stream[Symbol.asyncIterator]()
	}
	return { router, caller, events, draining, reader, problems }
}

interface Tracked {
	readonly id: string
	readonly data: PlanEvent | ControlFrame
}

async function next(stream: AsyncIterator<unknown>): Promise<Tracked | null> {
	const { done, value } = await stream.next()
	if (done === true) return null
	if (!isTrackedEnvelope<Tracked['data']>(value)) throw new Error('An item was yielded without an id.')
	return { id: value[0], data: value[1] }
}

async function rest(stream: AsyncIterator<unknown>): Promise<Tracked[]> {
	const items: Tracked[] = []
	for (let item = await next(stream); item !== null; item = await next(stream)) items.push(item)
	return items
}

describe('createRouter', () => {
	it('has the procedures of the contract, each with its schema, kind and scope', () => {
		const { procedures } = start().router._def
		const walked = Object.entries(
			procedures as unknown as Record<string, { _def: { type: string; inputs: unknown[]; meta: unknown } }>,
		)
		expect(walked.map(([name]) => name).sort()).toEqual(Object.keys(contract).sort())
		for (const [name, { _def }] of walked) {
			const { kind, input, scope } = contract[name as keyof typeof contract]
			expect([name, _def.type, _def.meta]).toEqual([name, kind, { scope }])
			expect(_def.inputs).toHaveLength(1)
			expect(_def.inputs[0], name).toBe(input)
			expect(SCOPES).toContain(scope)
		}
	})

	it('checks the scope of the caller before anything else', async () => {
		const none = start({ principal: { ...LOCAL_PRINCIPAL, scopes: new Set() } })
		for (const [name, { scope }] of Object.entries(contract)) {
			const [group = '', own = ''] = name.split('.')
			const procedures = none.caller as unknown as Record<string, Record<string, (input: unknown) => Promise<unknown>>>
			const refusal: unknown = await procedures[group]?.[own]?.({ what: 'ever' }).catch((error: unknown) => error)
			expect(refusal, name).toMatchObject({ code: 'FORBIDDEN', cause: { code: 'forbidden', facts: { scope } } })
		}
	})

	it.each([
		['plans', ['start', 'pause', 'resume', 'cancel', 'retry', 'clone', 'delete', 'get', 'result', 'clear'], {}],
		['plans', ['modify'], { ops: [{ op: 'remove_step', step_id: 'a' }] }],
		['steps', ['retry', 'skip', 'result'], { step_id: 'a' }],
		['reviews', ['list'], {}],
		['reviews', ['answer'], { review_id: 'a.1', decision: 'approve' }],
		['admin', ['verify'], {}],
	])('names the unknown plan: %s, row %#', async (group, names, input) => {
		const procedures = start().caller as unknown as Record<string, Record<string, (input: unknown) => Promise<unknown>>>
		for (const name of names) {
			const refusal: unknown = await procedures[group]?.[name]?.({ plan_id: 'none', ...input }).catch((error: unknown) => error)
			const message = 'There is no plan none. Check the id, or create the plan first.'
			expect(refusal, name).toMatchObject({ cause: { code: 'not_found', message, facts: { plan_id: 'none' } } })
		}
	})

	it('reports an unexpected error once and hides it from the caller', async () => {
		const hub = Object.assign(Object.create(planstream.hub), { state: () => Promise.reject(new Error('secret')) })
		const { caller, problems } = start({ hub })
		const failure: unknown = await caller.plans.get({ plan_id: 'plan_1' }).catch((error: unknown) => error)
		expect(failure).toMatchObject({ code: 'INTERNAL_SERVER_ERROR', cause: { code: 'internal' } })
		expect(String(failure)).not.toContain('secret')
		expect(problems).toEqual(['plans.get failed.'])
	})
})

describe('plans.events', () => {
	it('yields items with their cursor as id, and returns after the end', async () => {
		const items = await rest(await start().events())
		expect(items[0]?.data).toMatchObject({ frame: 'ready' })
		expect(items.at(-1)?.data).toMatchObject({ frame: 'end', reason: 'completed', resume: false })
		expect(items.map(({ id }) => id)).toEqual(items.map(({ data }) => data.cursor))
	})

	it('resumes after the last event id whatever "after" says', async () => {
		const all = await rest(await start().events())
		const [, first] = all
		const items = await rest(await start().events({ after: 'now', snapshot: true, lastEventId: first?.id }))
		expect(items[0]?.data).toMatchObject({ frame: 'ready', recovered: true, from_seq: 2, state: null })
		expect(items.slice(1)).toEqual(all.slice(2))
	})

	it.each(['garbage', 'a.b.c', '-1'])('starts over with a reset when the last event id is %s', async (lastEventId) => {
		const [ready] = await rest(await start().events({ lastEventId }))
		expect(ready?.data).toMatchObject({ frame: 'ready', from_seq: 1, reset: { reason: 'epoch' }, state: { plan_id: 'plan_1' } })
	})

	it('rejects an invalid position, and a snapshot at a position that has none', async () => {
		const refusal = async (input: Partial<SubscribeInput>) => next(await start().events(input)).catch((error: unknown) => error)
		expect(await refusal({ after: 'garbage' })).toMatchObject({ cause: { code: 'bad_request', facts: { path: 'after' } } })
		expect(await refusal({ after: 3, snapshot: true })).toMatchObject({
			cause: { code: 'bad_request', facts: { path: 'snapshot' } },
		})
		const [ready] = await rest(await start().events({ after: 'now', snapshot: true }))
		expect(ready).toMatchObject({ data: { frame: 'ready', state: { status: 'completed' } } })
	})

	it('ends with a resumable frame when the server stops, but returns only once the reader has left', async () => {
		const { events, draining, reader } = start()
		const stream = await events({ follow: 'always', after: 'now' })
		expect(await next(stream)).toMatchObject({ data: { frame: 'ready' } })
		const last = next(stream)
		draining.abort(new PlanstreamError('draining', 'The server is stopping.'))
		expect(await last).toMatchObject({ data: { frame: 'end', reason: 'draining', resume: true } })
		let returned = false
		const over = next(stream).finally(() => {
			returned = true
		})
		for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
		expect(returned).toBe(false)
		reader.abort()
		expect(await over).toBeNull()
		expect(planstream.hub.report().subscriptions).toBe(0)
	})

	it('stops when the reader leaves, and leaves no listener on the signal of the server', async () => {
		const listeners = { added: 0, removed: 0 }
		const { signal } = new AbortController()
		const draining = Object.assign(Object.create(signal) as AbortSignal, {
			addEventListener: () => void listeners.added++,
			removeEventListener: () => void listeners.removed++,
		})
		Object.defineProperty(draining, 'aborted', { value: false })
		const { events, reader } = start({ draining })
		const stream = await events({ follow: 'always', after: 'now' })
		await next(stream)
		const over = next(stream)
		reader.abort()
		expect(await over).toBeNull()
		expect(listeners).toEqual({ added: 1, removed: 1 })
	})

	it('reports permanent errors in a code that stock clients do not retry, with the true problem beside it', async () => {
		const failing = (error: Error) => ({
			subscribe: () => ({ [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error) }) }),
		})
		const getShape = async (error: Error, type: 'subscription' | 'query') => {
			const hub = Object.assign(Object.create(planstream.hub), failing(error))
			const thrown: unknown = await next(await start({ hub }).events()).catch((caught: unknown) => caught)
			if (!(thrown instanceof TRPCError)) throw new Error('The stream did not fail.')
			return formatError({
				error: thrown,
				type,
				path: 'plans.events',
				shape: { message: '', code: -32603, data: { code: thrown.code, httpStatus: 500 } },
			})
		}
		const unforeseen = await getShape(new Error('secret'), 'subscription')
		expect(unforeseen).toMatchObject({
			code: -32600,
			data: { code: 'BAD_REQUEST', httpStatus: 500, problem: { code: 'internal', status: 500 } },
		})
		expect(JSON.stringify(unforeseen)).not.toContain('secret')
		expect(await getShape(new Error('secret'), 'query')).toMatchObject({ code: -32603, data: { code: 'INTERNAL_SERVER_ERROR' } })
		const passing = await getShape(new PlanstreamError('storage_unavailable', 'Try again.'), 'subscription')
		expect(passing).toMatchObject({
			code: -32603,
			data: { code: 'SERVICE_UNAVAILABLE', problem: { code: 'storage_unavailable' } },
		})
	})
})
