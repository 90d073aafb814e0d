import { MAX_ARTIFACTS } from '@planstream/shared/schemas'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Agent, StepContext } from '../../../server/src/plans/agent.js'
import { startTestPlanstream, type TestPlanstream } from '../../../server/src/testing/test-planstream.js'
import { getProblem, post, sendRequest } from '../../support/http-request.js'

class Point {
	constructor(
		readonly x: number,
		readonly y: number,
	) {}
}
class Secretive {
	readonly #value = 1
	get value() {
		return this.#value
	}
}
const nest = (depth: number): unknown => (depth === 0 ? 1 : { a: nest(depth - 1) })
const cycle: Record<string, unknown> = {}
cycle.self = cycle

const REFUSED: readonly (readonly [string, unknown, string])[] = [
	['a Map', new Map([[1, 2]]), 'data.v'],
	['a Set', new Set([1]), 'data.v'],
	['a date', new Date(0), 'data.v'],
	['NaN', [Number.NaN], 'data.v[0]'],
	['infinity', Number.POSITIVE_INFINITY, 'data.v'],
	['a promise', { late: Promise.resolve(1) }, 'data.v.late'],
	['a typed array', new Uint8Array(2), 'data.v'],
	['a Buffer', Buffer.from('x'), 'data.v'],
	['a function', () => 1, 'data.v'],
	['a symbol', Symbol('x'), 'data.v'],
	['undefined in an array', [1, undefined], 'data.v[1]'],
	['a hole in an array', Object.assign([], { 2: 1 }), 'data.v[0]'],
	['an error', new Error('x'), 'data.v'],
	['an instance with a JSON form of its own', Object.assign(new Point(1, 2), { toJSON: () => 1 }), 'data.v'],
	['an instance that shows no field', new Secretive(), 'data.v'],
	['a key __proto__', JSON.parse('{"__proto__":{"a":1}}'), 'data.v.__proto__'],
	['an integer that is not exact', 2 ** 53, 'data.v'],
	['a bigint', 1n, 'data.v'],
	['33 levels', nest(31), `data.v${'.a'.repeat(30)}`],
	['a cycle', cycle, `data.v${'.self'.repeat(30)}`],
]

/** Returns whatever a test has put here. */
let value: unknown
let calls = 0
const agent: Agent = {
	type: 'free',
	execute: async () => {
		calls++
		return { data: { v: value } }
	},
}
const collector: Agent = {
	type: 'collector',
	execute: async (_step, { artifact }) => {
		for (let file = 0; file <= MAX_ARTIFACTS; file++) await artifact(`${file}`, 'x', 'text/plain')
		return { data: {} }
	},
}

/** Does whatever a test has put here. */
let blunder: (context: StepContext) => unknown = () => undefined
const blunderer: Agent = {
	type: 'blunder',
	execute: (_step, context) => {
		calls++
		return blunder(context) as ReturnType<Agent['execute']>
	},
}

let from: TestPlanstream
let to: TestPlanstream
beforeAll(async () => {
	from = await startTestPlanstream({ agents: [agent, collector, blunderer] })
	to = await startTestPlanstream()
})
afterAll(async () => {
	await from.close()
	await to.close()
})

const steps = [{ step_id: 'a', action: 'act', agent_type: 'free', retry: { initial_ms: 0 } }]
const read = async (server: TestPlanstream, plan_id: string) =>
	(await sendRequest(server, `/api/v1/plans/${plan_id}/steps/a/result`)).body as { readonly result?: unknown }

describe('The result of an agent', { timeout: 60_000 }, () => {
	it.each(REFUSED)('with %s fails its step at once, with the path', async (_what, refused, path) => {
		value = refused
		calls = 0
		const { state } = await from.run({ query: 'q', steps })
		const error = { code: 'invalid_event', message: expect.stringContaining(path), retryable: false }
		expect(state).toMatchObject({ status: 'failed', steps: [{ error }] })
		expect(calls).toBe(1)
	})

	it('may hold undefined fields and instances that JSON writes field by field', async () => {
		value = { a: undefined, point: new Point(1, 2), bare: Object.assign(Object.create(null), { b: 1 }) }
		const { state } = await from.run({ query: 'q', steps })
		expect(state).toMatchObject({ status: 'completed', steps: [{ result: { v: { point: { x: 1, y: 2 }, bare: { b: 1 } } } }] })
	})

	it('is either refused, or stored, exported, imported and read back equal', async () => {
		const anything = fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true, withTypedArray: true })
		await fc.assert(
			fc.asyncProperty(fc.oneof(anything, fc.jsonValue(), fc.string({ unit: 'binary' }), fc.double()), async (made) => {
				value = made
				const { state } = await from.run({ query: 'q', steps })
				if (state.status === 'failed') {
					expect(state.steps[0]?.error?.code).toBe('invalid_event')
					return
				}
				const expected: unknown = JSON.parse(JSON.stringify({ v: made }))
				expect(expected).toEqual({ v: Object.is(made, -0) ? 0 : normalise(made) })
				const { text } = await sendRequest(from, `/api/v1/admin/plans/${state.plan_id}/export`)
				const headers = { 'content-type': 'application/x-ndjson' }
				const imported = await sendRequest(to, '/api/v1/admin/import', { method: 'POST', body: text, headers })
				expect(imported.status).toBe(201)
				for (const server of [from, to]) expect(await read(server, state.plan_id)).toMatchObject({ result: expected })
			}),
			{ numRuns: 50, examples: [[nest(30)], ['\ud800'], [{ '': 0 }], [[[], {}]], [-0], [Number.MIN_VALUE]] },
		)
	})

	it('names at most as many artifacts as an event may hold', async () => {
		const { state } = await from.run({ query: 'q', steps: [{ step_id: 'a', action: 'act', agent_type: 'collector' }] })
		expect(state).toMatchObject({ status: 'failed', steps: [{ error: { code: 'too_large' } }] })
	})
})

/** Without negative zeros, prototypes and undefined fields, which mean the same. */
function normalise(made: unknown): unknown {
	if (Object.is(made, -0)) return 0
	if (Array.isArray(made)) return made.map(normalise)
	if (typeof made !== 'object' || made === null) return made
	return Object.fromEntries(Object.entries(made).map(([key, item]) => [key, normalise(item)]))
}

/** Mistakes of agents that no compiler has checked. */
const MISTAKES: readonly (readonly [string, (context: StepContext) => unknown, string, string])[] = [
	[
		'yields undefined',
		async function* () {
			yield undefined
		},
		'invalid_event',
		'yielded undefined',
	],
	[
		'yields null',
		async function* () {
			yield null
		},
		'invalid_event',
		'yielded null',
	],
	[
		'yields a text',
		async function* () {
			yield 'text'
		},
		'invalid_event',
		'yielded a string',
	],
	[
		'yields a list',
		async function* () {
			yield []
		},
		'invalid_event',
		'yielded an array',
	],
	[
		'yields an unknown update',
		async function* () {
			yield { progres: 1 }
		},
		'invalid_event',
		'with progres',
	],
	[
		'yields a wrong progress',
		async function* () {
			yield { progress: 'half' }
		},
		'bad_request',
		'progress.fraction',
	],
	[
		'yields no result',
		async function* () {
			yield { progress: 1 }
		},
		'invalid_event',
		'ended without a result',
	],
	[
		'yields a result of nothing',
		async function* () {
			yield { result: undefined }
		},
		'invalid_event',
		'invalid result',
	],
	['returns nothing', () => undefined, 'invalid_event', 'invalid result'],
	['returns no promise', () => null, 'invalid_event', 'invalid result'],
	['reports a usage of null', (context) => context.usage(null as never), 'bad_request', 'context.usage'],
	['reports a usage of a text', (context) => context.usage('many' as never), 'bad_request', 'context.usage'],
	['reports a usage that is no number', (context) => context.usage({ tokens: '5' } as never), 'bad_request', 'usage.tokens'],
	['reports no progress', (context) => context.progress(undefined as never), 'bad_request', 'progress.fraction'],
	['reports units of nothing', (context) => context.progress(1, 'm', null as never), 'bad_request', 'progress.units'],
	['writes no text', (context) => context.output(null as never), 'bad_request', 'output.delta'],
	['writes to an unknown channel', (context) => context.output('x', { channel: 'x' as never }), 'bad_request', 'output.channel'],
	['stores nothing', (context) => context.artifact('a', undefined as never, 'text/plain'), 'bad_request', 'artifact.content'],
	['stores without a name', (context) => context.artifact(undefined as never, 'x', 'text/plain'), 'bad_request', 'artifact.name'],
]

describe('An agent that', () => {
	it.each(MISTAKES)('%s fails once, with a message that explains it', async (_what, mistake, code, words) => {
		blunder = mistake
		calls = 0
		const { state } = await from.run({ query: 'q', steps: steps.map((step) => ({ ...step, agent_type: 'blunder' })) })
		const error = { code, message: expect.stringContaining(words), retryable: false }
		expect(state).toMatchObject({ status: 'failed', steps: [{ error }] })
		expect(calls).toBe(1)
	})
})

describe('A step', () => {
	it.each(['constructor', 'toString', 'hasOwnProperty', '0'])(
		'called %s has its result in its plan and its dependents',
		async (id) => {
			const scripted = { action: 'act', agent_type: 'scripted' }
			const first = { ...scripted, step_id: id, input: { result: { v: 1 } } }
			const { state } = await to.run({ query: 'q', steps: [first, { ...scripted, step_id: 'z', input: { echo_inputs: true } }] })
			expect(state.result).toEqual({ z: { [id]: { v: 1 } } })
			expect((await to.run({ query: 'q', steps: [first] })).state.result).toEqual({ [id]: { v: 1 } })
		},
	)

	it('called __proto__ is refused, because results are stored by the id of their step', async () => {
		const step = { step_id: '__proto__', action: 'act', agent_type: 'scripted' }
		expect(getProblem(await post(to, '/api/v1/plans', { query: 'q', steps: [step] }))).toMatchObject({ code: expect.any(String) })
		const event = { event_type: 'step_started', step_id: '__proto__', data: {} }
		const published = await post(to, '/api/v1/streaming/plans/external/events', { events: [event] })
		expect(getProblem(published)).toMatchObject({ code: 'invalid_event' })
	})
})
