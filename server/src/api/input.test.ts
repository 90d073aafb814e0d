import { PlanstreamError } from '@planstream/shared'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkJson } from './input.js'

const nested = (depth: number): unknown => (depth === 0 ? 1 : { a: nested(depth - 1) })

function refusal(value: unknown): unknown {
	try {
		checkJson(value)
		return null
	} catch (error) {
		return error instanceof PlanstreamError ? { code: error.code, path: error.facts.path } : error
	}
}

describe('the border', () => {
	it('lets every JSON value through that this runtime keeps as it was sent', () => {
		const value = fc.jsonValue({ maxDepth: 10 }).filter((json) => !JSON.stringify(json).includes('__proto__'))
		const kept = value.filter((json) => !/\d{16}|e\+/.test(JSON.stringify(json)))
		fc.assert(fc.property(kept, (json) => refusal(JSON.parse(JSON.stringify(json))) === null))
	})

	it('takes the deepest value that is allowed and the largest integer that is exact', () => {
		expect(refusal(nested(32))).toBeNull()
		expect(refusal([Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 1e15, 0.1])).toBeNull()
	})

	it.each([
		[nested(33), Array.from({ length: 32 }, () => 'a').join('.')],
		[{ a: [1, { b: Number.MAX_SAFE_INTEGER + 1 }] }, 'a[1].b'],
		[{ a: -1e300 }, 'a'],
		[JSON.parse('{"a":{"__proto__":{"b":1}}}'), 'a.__proto__'],
		[JSON.parse('[{"__proto__":null}]'), '[0].__proto__'],
		[{ a: undefined }, 'a'],
		[{ a: new Date(0) }, 'a'],
		[new Map(), ''],
		[Number.NaN, ''],
	])('refuses %j by its path', (value, path) => {
		expect(refusal(value)).toEqual({ code: 'bad_request', path })
	})

	it('refuses what JSON has no form for', () => {
		expect(refusal({ a: [1n] })).toEqual({ code: 'bad_request', path: 'a[0]' })
	})

	it('takes a field that is called like a method', () => {
		expect(refusal({ constructor: 1, toString: 2, prototype: {} })).toBeNull()
	})
})
