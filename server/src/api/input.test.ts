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

describe('checkJson', () => {
	it('accepts every JSON value that the runtime preserves', () => {
		const value = fc.jsonValue({ maxDepth: 10 }).filter((json) => !JSON.stringify(json).includes('__proto__'))
		const kept = value.filter((json) => !/\d{16}|e\+/.test(JSON.stringify(json)))
		fc.assert(fc.property(kept, (json) => refusal(JSON.parse(JSON.stringify(json))) === null))
	})

	it('accepts the deepest allowed value and the largest exact integer', () => {
		expect(refusal(nested(32))).toBeNull()
		expect(refusal([Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 1e15, 0.1])).toBeNull()
	})

	it.each([
		['an object 33 levels deep', nested(33), Array.from({ length: 32 }, () => 'a').join('.')],
		['an integer that is not exact', { a: [1, { b: Number.MAX_SAFE_INTEGER + 1 }] }, 'a[1].b'],
		['a large negative number', { a: -1e300 }, 'a'],
		['__proto__ in an object', JSON.parse('{"a":{"__proto__":{"b":1}}}'), 'a.__proto__'],
		['__proto__ in an array', JSON.parse('[{"__proto__":null}]'), '[0].__proto__'],
		['undefined', { a: undefined }, 'a'],
		['a date', { a: new Date(0) }, 'a'],
		['a map', new Map(), ''],
		['NaN', Number.NaN, ''],
	])('rejects %s and names its path', (_name, value, path) => {
		expect(refusal(value)).toEqual({ code: 'bad_request', path })
	})

	it('rejects values that JSON cannot represent', () => {
		expect(refusal({ a: [1n] })).toEqual({ code: 'bad_request', path: 'a[0]' })
	})

	it('accepts a field named like a method', () => {
		expect(refusal({ constructor: 1, toString: 2, prototype: {} })).toBeNull()
	})
})
