import { describe, expect, it } from 'vitest'
import { ManualClock } from '#test/support/manual-clock.js'
import { AnswerBudget, type UnreadOutput } from './answer-budget.js'

class FakeOutput implements UnreadOutput {
	readonly tenant: string
	queued: number
	progress = 0
	isOver = false
	ends: string[] = []

	constructor(queued: number, tenant: string) {
		this.tenant = tenant
		this.queued = queued
	}

	giveUp({ code }: { readonly code: string }): void {
		this.ends.push(code)
	}

	terminate(): void {
		this.ends.push('terminated')
		this.isOver = true
	}
}

function start(answers_bytes = 100) {
	const clock = new ManualClock()
	const budget = new AnswerBudget({
		limits: () => ({ answers_bytes, connection_bytes: 10, working_bytes: 100_000 }),
		stallTimeoutMs: 30_000,
		clock: () => clock.now(),
		schedule: (run, ms) => ({ [Symbol.dispose]: clock.after(ms, run) }),
	})
	const watch = (queued: number, tenant = 'a') => {
		const output = new FakeOutput(queued, tenant)
		budget.watch(output)
		return output
	}
	return { clock, budget, watch }
}

describe('AnswerBudget', () => {
	it('ends output that is not read after 30 s, and terminates it after 30 s more', () => {
		const { clock, watch } = start()
		const output = watch(50)
		clock.advance(29_999)
		expect(output.ends).toEqual([])
		clock.advance(1)
		expect(output.ends).toEqual(['slow_consumer'])
		clock.advance(4999)
		expect(output.ends).toEqual(['slow_consumer'])
		clock.advance(1)
		expect(output.ends).toEqual(['slow_consumer', 'terminated'])
	})

	it('gives a client that takes something after the end was told another 30 s', () => {
		const { clock, watch } = start()
		const output = watch(50)
		clock.advance(30_000)
		output.progress++
		clock.advance(30_000)
		expect(output.ends).toEqual(['slow_consumer'])
		clock.advance(1000)
		expect(output.ends).toEqual(['slow_consumer', 'terminated'])
	})

	it('waits as long as the client takes something, however little', () => {
		const { clock, watch } = start()
		const output = watch(50)
		for (let minute = 0; minute < 10; minute++) {
			clock.advance(29_000)
			output.progress++
		}
		expect(output.ends).toEqual([])
		clock.advance(31_000)
		expect(output.ends).toEqual(['slow_consumer'])
	})

	it('has no timer while nothing waits', () => {
		const { clock, budget, watch } = start()
		expect(clock.pending).toBe(0)
		const output = watch(50)
		expect(clock.pending).toBe(1)
		output.isOver = true
		clock.advance(1000)
		expect([clock.pending, budget.bytes]).toEqual([0, 0])
	})

	it('refuses more answers at its limit, until what waits was taken', () => {
		const { budget, watch } = start()
		const output = watch(100)
		expect(() => budget.assertRoom('a')).toThrow(
			expect.objectContaining({ code: 'overloaded', facts: { limit: 100, retry_after_ms: 1000 } }),
		)
		output.queued = 99
		expect(() => budget.assertRoom('a')).not.toThrow()
	})

	it('makes large answers one after another when they fill the budget, and small ones at once', async () => {
		const { budget } = start()
		const first = await budget.reserve('a', 100_000)
		const second = budget.reserve('a', 100_000)
		await budget.reserve('a', 1000)
		let isMade = false
		void second.then(() => {
			isMade = true
		})
		await new Promise(setImmediate)
		expect(isMade).toBe(false)
		first[Symbol.dispose]()
		await second
	})

	it('refuses a large answer that has waited for 10 s, and forgets it', async () => {
		const { clock, budget } = start()
		using _first = await budget.reserve('a', 100_000)
		const second = budget.reserve('b', 100_000)
		const refused = expect(second).rejects.toMatchObject({ code: 'overloaded', facts: { retry_after_ms: 1000 } })
		clock.advance(10_000)
		await refused
		expect(clock.pending).toBe(0)
	})

	it('counts answers that are made and not written', () => {
		const { budget } = start()
		const held = budget.hold('a', 100)
		expect(() => budget.assertRoom('a')).toThrow(expect.objectContaining({ code: 'overloaded' }))
		held[Symbol.dispose]()
		held[Symbol.dispose]()
		expect(budget.bytes).toBe(0)
	})

	it('neither refuses nor cuts a tenant with little for what another one leaves unread', () => {
		const { clock, budget, watch } = start(1000)
		const quiet = watch(60, 'quiet')
		clock.advance(1)
		const loud = watch(1000, 'loud')
		expect(() => budget.assertRoom('quiet')).not.toThrow()
		expect(() => budget.assertRoom('loud')).toThrow(expect.objectContaining({ code: 'overloaded' }))
		clock.advance(5000)
		expect([quiet.ends, loud.ends]).toEqual([[], ['terminated']])
	})

	it('counts output again when it grows', () => {
		const { budget, watch } = start()
		const output = watch(10)
		output.queued = 70
		budget.watch(output)
		expect(budget.bytes).toBe(70)
	})

	it('terminates the longest waiting output above its limit, and none that is being read', () => {
		const { clock, watch } = start()
		const first = watch(40)
		clock.advance(2000)
		const second = watch(40)
		const taken = watch(40)
		clock.advance(900)
		taken.progress++
		clock.advance(100)
		expect([first, second, taken].map(({ ends }) => ends)).toEqual([['terminated'], [], []])
	})
})
