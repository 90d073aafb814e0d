import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { afterFailure, afterStart, type Choice, firstChoice, PATIENCE } from './choice.js'
import type { TransportName } from './transport.js'

const fail = (choice: Choice, times: number): Choice =>
	Array.from({ length: times }).reduce<Choice>((now) => afterFailure(now, now.transport, false), choice)

describe('the choice of transport', () => {
	it('begins with WebSocket where there is one, else with SSE', () => {
		expect(firstChoice('auto', true).transport).toBe('websocket')
		expect(firstChoice('auto', false).transport).toBe('sse')
	})

	it('goes to SSE at the first failure of a WebSocket that has never worked', () => {
		expect(afterFailure(firstChoice('auto', true), 'websocket', false).transport).toBe('sse')
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

	it('goes to polling as soon as SSE is held back, and for no other failure', () => {
		for (const hasWebSocket of [true, false]) {
			const sse = hasWebSocket ? fail(firstChoice('auto', true), 1) : firstChoice('auto', false)
			for (const choice of [sse, afterStart(sse, 'sse')]) expect(afterFailure(choice, 'sse', true).transport).toBe('poll')
		}
		expect(Array.from({ length: 9 }, (_, times) => fail(firstChoice('auto', true), times).transport)).not.toContain('poll')
		expect(afterFailure(firstChoice('auto', true), 'websocket', true).transport).toBe('sse')
	})

	it('leaves polling for the best when it fails', () => {
		const poll = afterStart(afterFailure(firstChoice('auto', false), 'sse', true), 'poll')
		expect([fail(poll, PATIENCE - 1).transport, fail(poll, PATIENCE).transport]).toEqual(['poll', 'sse'])
	})

	it('never leaves the transport that was asked for', () => {
		for (const only of ['sse', 'websocket', 'poll'] as const) {
			const choice = fail(firstChoice(only, true), 20)
			expect([choice.transport, afterFailure(choice, only, true).transport]).toEqual([only, only])
		}
	})

	it('heeds only word from the transport in use, however late word from another comes', () => {
		const names = fc.constantFrom<TransportName>('websocket', 'sse', 'poll')
		const words = fc.array(fc.tuple(fc.constantFrom('worked', 'failed', 'held back'), names))
		fc.assert(
			fc.property(words, (list) => {
				let choice = firstChoice('auto', true)
				for (const [word, name] of list) {
					const next = word === 'worked' ? afterStart(choice, name) : afterFailure(choice, name, word === 'held back')
					if (name !== choice.transport) expect(next).toBe(choice)
					if (next.transport === 'poll' && choice.transport !== 'poll') expect([word, name]).toEqual(['held back', 'sse'])
					choice = next
				}
			}),
			{ seed: 2 },
		)
	})
})
