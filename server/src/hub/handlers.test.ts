import { describe, expect, it } from 'vitest'
import { Health } from '../ops/health.js'
import { Handlers } from './handlers.js'

describe('Handlers', () => {
	it('has no listeners once every handler is disposed, in any order and any number of times', () => {
		const handlers = new Handlers(() => undefined, new Health())
		expect(handlers.any).toBe(false)
		const first = handlers.on('error', () => undefined)
		const second = handlers.on('error', () => undefined)
		const other = handlers.on('plan_started', () => undefined)
		first[Symbol.dispose]()
		other[Symbol.dispose]()
		expect(handlers.any).toBe(true)
		second[Symbol.dispose]()
		expect(handlers.any).toBe(false)
		using _third = handlers.on('error', () => undefined)
		second[Symbol.dispose]()
		expect(handlers.any).toBe(true)
		expect(handlers.report()).toEqual({ registered: 1, overflowed: 0 })
	})

	it('takes no handler for a type that no event has', () => {
		const handlers = new Handlers(() => undefined, new Health())
		expect(() => handlers.on('plan_complete' as never, () => undefined)).toThrow(/No event has the type "plan_complete"/)
		expect(handlers.any).toBe(false)
	})
})
