import { PlanstreamError } from '@planstream/shared'
import { planEvent } from '@planstream/shared/schemas'
import { describe, expect, it } from 'vitest'
import { startPlanstream } from '#test/support/plans/test-planstream.js'
import type { Agent, StepContext } from './agent.js'

/** Runs one step of an agent whose calls nothing checks beforehand. */
async function runOne(execute: (context: StepContext) => unknown) {
	const careless: Agent = { type: 'careless', execute: async (_step, context) => ({ data: { said: await execute(context) } }) }
	await using planstream = await startPlanstream([careless])
	const steps = [{ step_id: 'a', action: 'act', agent_type: 'careless', retry: { max_attempts: 1 } }]
	const events = await planstream.run({ query: 'q', steps })
	return { events, problems: planstream.problems, last: events.filter(({ step_id }) => step_id === 'a').at(-1) }
}

const thrower = (thrown: unknown) => () => {
	throw thrown
}
const unreadable = {
	get code() {
		throw new Error('no')
	},
}

describe('an agent', () => {
	it.each<[string, (context: StepContext) => unknown]>([
		['progress.message', ({ progress }) => progress(0.5, 5 as never)],
		['progress.message', ({ progress }) => progress(0.5, { toJSON: () => 1n } as never)],
		['progress.fraction', ({ progress }) => progress(Number.NaN)],
		['progress.fraction', ({ progress }) => progress('0.5' as never)],
		['progress.units.unit', ({ progress }) => progress(0.5, '', { current: 1, total: 2, unit: 7 as never })],
		['progress.units.current', ({ progress }) => progress(0.5, '', { current: Number.POSITIVE_INFINITY, total: 2, unit: 'x' })],
		['output.delta', ({ output }) => output(5 as never)],
		['output.channel', ({ output }) => output('x', { channel: 'other' as never })],
		['output.level', ({ output }) => output('x', { level: {} as never })],
		['usage.tokens', ({ usage }) => usage({ tokens: '5' as never })],
		['usage.amount', ({ usage }) => [usage({ tokens: 1e308 }), usage({ tokens: 1e308 })]],
		['artifact.content', ({ artifact }) => artifact('a', {} as never, 'text/plain')],
		['artifact.name', ({ artifact }) => artifact(5 as never, 'x', 'text/plain')],
	])('fails its step with the reason when it passes a wrong %s to its context', async (path, call) => {
		const { last, events, problems } = await runOne(call)
		const error = { code: 'bad_request', message: expect.stringContaining(path), retryable: false }
		expect(last).toMatchObject({ event_type: 'step_failed', data: { error } })
		for (const event of events) expect(() => planEvent.parse(event)).not.toThrow()
		expect(problems).toEqual([])
	})

	it('may report additional fields of progress, which are dropped', async () => {
		const units = { current: 1, total: 2, unit: 'files', more: 1n }
		const { events } = await runOne(({ progress }) => progress(0.5, 'half', units))
		expect(events.find((event) => event.event_type === 'step_progress')?.data).toEqual({
			progress: 0.5,
			message: 'half',
			current: 1,
			total: 2,
			unit: 'files',
		})
	})

	it.each([
		['nothing', undefined, 'undefined'],
		['an object without a prototype', Object.create(null), 'cannot be read'],
		['what cannot be read', unreadable, 'cannot be read'],
		['an error whose message is a number', Object.assign(new Error(), { message: 5 }), '5'],
		['a symbol', Symbol('x'), 'Symbol(x)'],
		['a string of 1 MB', 'x'.repeat(1_000_000), 'x'.repeat(4096)],
	])('fails its step when it throws %s', async (_what, thrown, message) => {
		const { last, problems } = await runOne(thrower(thrown))
		const error = { code: 'agent_error', message: expect.stringContaining(message) }
		expect(last).toMatchObject({ event_type: 'step_failed', data: { error } })
		expect(problems).toEqual([])
	})

	it.each<[string, unknown, string]>([
		[
			'its cause',
			new Error('no answer', { cause: new Error('the address does not resolve') }),
			'no answer: the address does not resolve',
		],
		['a cause without a message by its name', new Error('no answer', { cause: new RangeError() }), 'no answer: RangeError'],
		['the errors of a group', new AggregateError([new Error('one'), 'two']), 'one; two'],
		['the same words once', new Error('no answer', { cause: 'no answer' }), 'no answer'],
		[
			'only itself if it is a typed error',
			new PlanstreamError('not_found', 'gone', {}, { cause: new Error('at 10.0.0.5') }),
			'gone',
		],
	])('fails its step with an error that names %s', async (_what, thrown, message) => {
		const { last } = await runOne(thrower(thrown))
		expect(last?.data).toMatchObject({ error: { message } })
	})

	it('fails its step when it throws an error that is its own cause', async () => {
		const error = new Error('round')
		error.cause = error
		const { last } = await runOne(thrower(error))
		expect(last?.data).toMatchObject({ error: { message: 'round' } })
	})

	it('fails when too many small pieces of output wait in memory', async () => {
		const { last } = await runOne(({ output }) => {
			for (let piece = 0; piece < 40_000; piece++) output('x', { level: piece % 2 === 0 ? 'info' : 'warn' })
		})
		expect(last).toMatchObject({ event_type: 'step_failed', data: { error: { code: 'too_large' } } })
	})
})
