import { expect, it } from 'vitest'
import { Health } from '../ops/health.js'
import { Handlers } from './handlers.js'

it('nobody listens any more once the last handler of every type is disposed, however often and in whatever order', () => {
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
