import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FairBudget } from './fair-budget.js'

/** Starts calls in order and notes which have begun; `end` ends one. */
function start(limit = 10) {
	const budget = new FairBudget(() => limit)
	const begun: string[] = []
	const taken = new Map<string, Disposable>()
	const call = (name: string, bytes = 5, signal?: AbortSignal) => {
		const [tenant = ''] = name
		return budget.take(tenant, bytes, signal).then((room) => {
			begun.push(name)
			taken.set(name, room)
		})
	}
	const end = async (name: string) => {
		taken.get(name)?.[Symbol.dispose]()
		await new Promise(setImmediate)
	}
	return { budget, begun, call, end }
}

describe('FairBudget', () => {
	it('lets calls wait in order while there is no room', async () => {
		const { budget, begun, call, end } = start()
		for (const name of ['a1', 'a2', 'a3', 'a4']) void call(name)
		await end('')
		expect([begun, budget.used]).toEqual([['a1', 'a2'], 10])
		await end('a2')
		expect(begun).toEqual(['a1', 'a2', 'a3'])
		for (const name of ['a1', 'a3']) await end(name)
		await end('a4')
		expect([begun, budget.used]).toEqual([['a1', 'a2', 'a3', 'a4'], 0])
	})

	it('serves tenants by turns while both wait', async () => {
		const { begun, call, end } = start(5)
		for (const name of ['a1', 'a2', 'a3', 'b1', 'b2', 'c1']) void call(name)
		await end('')
		for (const name of ['a1', 'a2', 'b1', 'c1', 'a3']) await end(name)
		expect(begun).toEqual(['a1', 'a2', 'b1', 'c1', 'a3', 'b2'])
	})

	it('does work larger than the whole budget alone', async () => {
		const { budget, begun, call, end } = start()
		for (const [name, bytes] of [
			['a1', 1],
			['a2', 50],
			['b1', 1],
		] as const)
			void call(name, bytes)
		await end('')
		expect(begun).toEqual(['a1'])
		await end('a1')
		expect([begun, budget.used]).toEqual([['a1', 'a2'], 50])
		await end('a2')
		expect(begun).toEqual(['a1', 'a2', 'b1'])
	})

	it('forgets a call whose signal aborts, and serves the one behind it', async () => {
		const { begun, call, end } = start()
		void call('a1', 6)
		const leaving = new AbortController()
		const left = call('a2', 8, leaving.signal)
		void call('a3', 4)
		leaving.abort(new Error('left'))
		await expect(left).rejects.toThrow('left')
		await end('')
		expect(begun).toEqual(['a1', 'a3'])
		await expect(call('a4', 8, leaving.signal)).rejects.toThrow('left')
	})

	it('never has more than its limit taken by several calls, and serves every call', async () => {
		await fc.assert(
			fc.asyncProperty(fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.integer({ min: 1, max: 12 }))), async (calls) => {
				const budget = new FairBudget(() => 10)
				let open = 0
				let done = 0
				const work = calls.map(async ([tenant, bytes]) => {
					using _room = await budget.take(tenant, bytes)
					open += 1
					expect(budget.used <= 10 || open === 1).toBe(true)
					await new Promise(setImmediate)
					open -= 1
					done += 1
				})
				await Promise.all(work)
				expect([done, budget.used]).toEqual([calls.length, 0])
			}),
		)
	})
})
