import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { afterFailure, afterStart, type Choice, firstChoice, PATIENCE } from './fallback.js'
import type { TransportName } from './transport.js'

const fail = (choice: Choice, times: number): Choice =>
	Array.from({ length: times }).reduce<Choice>((now) => afterFailure(now, now.transport), choice)

describe('the choice of transport', () => {
	it('begins with WebSocket where there is one, else with SSE', () => {
		expect(firstChoice('auto', true).transport).toBe('websocket')
		expect(firstChoice('auto', false).transport).toBe('sse')
	})

	it('goes to SSE at the first failure of a WebSocket that has never worked', () => {
		expect(afterFailure(firstChoice('auto', true), 'websocket').transport).toBe('sse')
	})

	it('is remembered once it has worked, and survives a restart of the server', () => {
		const sse = afterStart(fail(firstChoice('auto', true), 1), 'sse')
		expect(fail(sse, PATIENCE - 1).transport).toBe('sse')
		const websocket = afterStart(firstChoice('auto', true), 'websocket')
		expect(fail(websocket, PATIENCE - 1).transport).toBe('websocket')
	})

	it('is made anew when what worked keeps failing, as in another network', () => {
		expect(fail(afterStart(firstChoice('auto', true), 'websocket'), PATIENCE).transport).toBe('sse')
	})

	it('goes back and forth while neither works', () => {
		expect([1, 2, 3].map((times) => fail(firstChoice('auto', true), times).transport)).toEqual(['sse', 'websocket', 'sse'])
	})

	it('never leaves the transport that was asked for, or the only one there is', () => {
		for (const only of [firstChoice('sse', true), firstChoice('websocket', true), firstChoice('auto', false)]) {
			expect(fail(only, 20).transport).toBe(only.transport)
		}
	})

	it('heeds only word from the transport in use, however late word from the other comes', () => {
		const names = fc.constantFrom<TransportName>('websocket', 'sse')
		const words = fc.array(fc.tuple(fc.boolean(), names))
		fc.assert(
			fc.property(words, (list) => {
				let choice = firstChoice('auto', true)
				for (const [worked, name] of list) {
					const next = worked ? afterStart(choice, name) : afterFailure(choice, name)
					if (name !== choice.transport) expect(next).toBe(choice)
					expect(new Set([next.transport, next.other])).toEqual(new Set(['websocket', 'sse']))
					choice = next
				}
			}),
			{ seed: 2 },
		)
	})
})
