import { describe, expect, it } from 'vitest'
import { ManualClock } from '#test/support/manual-clock.js'
import { afterFailure, afterStart, ChoiceMemory, firstChoice, type PageStorage, pageStorage, REMEMBERED_MS } from './choice.js'

/** The storage of a tab, over loads of its page. */
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

const best = firstChoice('auto', true)
const fallen = afterFailure(best, 'websocket', false)
const sse = afterStart(fallen, 'sse')

describe('what a page remembers of its transport', () => {
	it('is what got through instead of a WebSocket, for the next load of the page', () => {
		const { load } = tab()
		expect(load().recall()).toBeNull()
		load().keep(sse)
		expect(firstChoice('auto', true, load().recall())).toMatchObject({ transport: 'sse', proven: false })
		expect(load('http://localhost:4000/').recall()).toBeNull()
	})

	it('costs one attempt where it is wrong, and is forgotten when the best gets through again', () => {
		const { load, items } = tab()
		load().keep(sse)
		const back = afterFailure(firstChoice('auto', true, load().recall()), 'sse', false)
		expect(back.transport).toBe('websocket')
		load().keep(afterStart(back, 'websocket'))
		expect([load().recall(), items.size]).toEqual([null, 0])
	})

	it('is nothing that has not worked, and nothing that may not be used', () => {
		const { load } = tab()
		load().keep(fallen)
		expect(load().recall()).toBeNull()
		load().keep(sse)
		expect(firstChoice('websocket', true, load().recall()).transport).toBe('websocket')
	})

	it('lasts five minutes from when it was learned, however often the page is loaded', () => {
		const { load, clock } = tab()
		load().keep(sse)
		clock.advance(REMEMBERED_MS - 1)
		load().keep(sse)
		expect(load().recall()).toBe('sse')
		clock.advance(1)
		expect(load().recall()).toBeNull()
	})

	it('does not last longer because a clock was set back, or because somebody wrote something else there', () => {
		const { load, items } = tab()
		const [key, long] = ['planstream http://localhost:3000/', REMEMBERED_MS + 1]
		for (const text of [`sse ${long}`, 'sse', '', 'sse soon', `pigeon ${REMEMBERED_MS}`]) {
			items.set(key, text)
			expect(firstChoice('auto', true, load().recall()).transport).toBe('websocket')
		}
	})

	it('is nothing where storage is forbidden or full, and outside of a page', () => {
		const refuse = (): never => {
			throw new DOMException('The operation is insecure.', 'SecurityError')
		}
		const full: PageStorage = { getItem: () => null, setItem: refuse, removeItem: refuse }
		for (const storage of [refuse, () => full, pageStorage]) {
			const memory = new ChoiceMemory({ storage, url: new URL('http://localhost/'), now: () => 0 })
			memory.keep(sse)
			memory.keep(afterStart(best, 'websocket'))
			expect(memory.recall()).toBeNull()
		}
	})
})
