import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ManualClock } from '#test/support/manual-clock.js'
import {
	type Choice,
	ChoiceMemory,
	chooseAfterFailure,
	chooseAfterStart,
	chooseFirst,
	getPageStorage,
	PATIENCE,
	type PageStorage,
	REMEMBERED_MS,
} from './choice.js'
import type { TransportName } from './transport.js'

const fail = (choice: Choice, times: number): Choice =>
	Array.from({ length: times }).reduce<Choice>((now) => chooseAfterFailure(now, now.transport, false), choice)

describe('the choice of transport', () => {
	it('starts with WebSocket if there is one, otherwise with SSE', () => {
		expect(chooseFirst('auto', true).transport).toBe('websocket')
		expect(chooseFirst('auto', false).transport).toBe('sse')
	})

	it('falls back to SSE after the first failure of a WebSocket that has never worked', () => {
		expect(chooseAfterFailure(chooseFirst('auto', true), 'websocket', false).transport).toBe('sse')
	})

	it('stays with a transport that has worked, also over a restart of the server', () => {
		const sse = chooseAfterStart(fail(chooseFirst('auto', true), 1), 'sse')
		expect(fail(sse, PATIENCE - 1).transport).toBe('sse')
		const websocket = chooseAfterStart(chooseFirst('auto', true), 'websocket')
		expect(fail(websocket, PATIENCE - 1).transport).toBe('websocket')
	})

	it('starts over when a transport that worked keeps failing, as after a change of network', () => {
		expect(fail(chooseAfterStart(chooseFirst('auto', true), 'websocket'), PATIENCE).transport).toBe('sse')
	})

	it('alternates while neither transport works', () => {
		expect([1, 2, 3].map((times) => fail(chooseFirst('auto', true), times).transport)).toEqual(['sse', 'websocket', 'sse'])
	})

	it('falls back to polling at once when a proxy buffers SSE, and after no other failure', () => {
		for (const hasWebSocket of [true, false]) {
			const sse = hasWebSocket ? fail(chooseFirst('auto', true), 1) : chooseFirst('auto', false)
			for (const choice of [sse, chooseAfterStart(sse, 'sse')])
				expect(chooseAfterFailure(choice, 'sse', true).transport).toBe('poll')
		}
		expect(Array.from({ length: 9 }, (_, times) => fail(chooseFirst('auto', true), times).transport)).not.toContain('poll')
		expect(chooseAfterFailure(chooseFirst('auto', true), 'websocket', true).transport).toBe('sse')
	})

	it('leaves polling for the best transport when polling fails', () => {
		const poll = chooseAfterStart(chooseAfterFailure(chooseFirst('auto', false), 'sse', true), 'poll')
		expect([fail(poll, PATIENCE - 1).transport, fail(poll, PATIENCE).transport]).toEqual(['poll', 'sse'])
	})

	it('never leaves the transport that was requested', () => {
		for (const only of ['sse', 'websocket', 'poll'] as const) {
			const choice = fail(chooseFirst(only, true), 20)
			expect([choice.transport, chooseAfterFailure(choice, only, true).transport]).toEqual([only, only])
		}
	})

	it('ignores late reports about a transport that is no longer in use', () => {
		const names = fc.constantFrom<TransportName>('websocket', 'sse', 'poll')
		const words = fc.array(fc.tuple(fc.constantFrom('worked', 'failed', 'held back'), names))
		fc.assert(
			fc.property(words, (list) => {
				let choice = chooseFirst('auto', true)
				for (const [word, name] of list) {
					const next = word === 'worked' ? chooseAfterStart(choice, name) : chooseAfterFailure(choice, name, word === 'held back')
					if (name !== choice.transport) expect(next).toBe(choice)
					if (next.transport === 'poll' && choice.transport !== 'poll') expect([word, name]).toEqual(['held back', 'sse'])
					choice = next
				}
			}),
			{ seed: 2 },
		)
	})
})

/** Simulates the storage of a tab across loads of its page. */
function tab() {
	const items = new Map<string, string>()
	const storage: PageStorage = {
		getItem: (key) => items.get(key) ?? null,
		setItem: (key, text) => void items.set(key, text),
		removeItem: (key) => void items.delete(key),
	}
	const clock = new ManualClock()
	const load = (url = 'http://localhost:3000/') =>
		new ChoiceMemory({ storage: () => storage, url: new URL(url), now: () => clock.now() })
	return { items, clock, load }
}

const best = chooseFirst('auto', true)
const fallen = chooseAfterFailure(best, 'websocket', false)
const sse = chooseAfterStart(fallen, 'sse')

describe('ChoiceMemory', () => {
	it('remembers the transport that worked instead of WebSocket for the next page load', () => {
		const { load } = tab()
		expect(load().recall()).toBeNull()
		load().keep(sse)
		expect(chooseFirst('auto', true, load().recall())).toMatchObject({ transport: 'sse', proven: false })
		expect(load('http://localhost:4000/').recall()).toBeNull()
	})

	it('costs one attempt when it is outdated, and forgets once the best transport works again', () => {
		const { load, items } = tab()
		load().keep(sse)
		const back = chooseAfterFailure(chooseFirst('auto', true, load().recall()), 'sse', false)
		expect(back.transport).toBe('websocket')
		load().keep(chooseAfterStart(back, 'websocket'))
		expect([load().recall(), items.size]).toEqual([null, 0])
	})

	it('remembers no transport that has not worked and offers none that may not be used', () => {
		const { load } = tab()
		load().keep(fallen)
		expect(load().recall()).toBeNull()
		load().keep(sse)
		expect(chooseFirst('websocket', true, load().recall()).transport).toBe('websocket')
	})

	it('remembers for five minutes from the first success, however often the page is loaded', () => {
		const { load, clock } = tab()
		load().keep(sse)
		clock.advance(REMEMBERED_MS - 1)
		load().keep(sse)
		expect(load().recall()).toBe('sse')
		clock.advance(1)
		expect(load().recall()).toBeNull()
	})

	it('ignores entries from the future and entries it did not write', () => {
		const { load, items } = tab()
		const [key, long] = ['planstream http://localhost:3000/', REMEMBERED_MS + 1]
		for (const text of [`sse ${long}`, 'sse', '', 'sse soon', `pigeon ${REMEMBERED_MS}`]) {
			items.set(key, text)
			expect(chooseFirst('auto', true, load().recall()).transport).toBe('websocket')
		}
	})

	it('remembers nothing when sessionStorage is unavailable or full', () => {
		const refuse = (): never => {
			throw new DOMException('The operation is insecure.', 'SecurityError')
		}
		const full: PageStorage = { getItem: () => null, setItem: refuse, removeItem: refuse }
		for (const storage of [refuse, () => full, getPageStorage]) {
			const memory = new ChoiceMemory({ storage, url: new URL('http://localhost/'), now: () => 0 })
			memory.keep(sse)
			memory.keep(chooseAfterStart(best, 'websocket'))
			expect(memory.recall()).toBeNull()
		}
	})
})
