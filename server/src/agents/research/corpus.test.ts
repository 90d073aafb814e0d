import { describe, expect, it } from 'vitest'
import { createPacer } from './corpus.js'

describe('pacer', () => {
	it('yields to the event loop after a number of units', async () => {
		let turns = 0
		setImmediate(() => turns++)
		const pace = createPacer(new AbortController().signal, 3)
		await pace()
		await pace()
		expect(turns).toBe(0)
		await pace()
		expect(turns).toBe(1)
	})

	it('throws the abort reason at the first unit after the abort', async () => {
		const abort = new AbortController()
		const pace = createPacer(abort.signal)
		await pace()
		abort.abort(new Error('enough'))
		await expect(pace()).rejects.toThrow('enough')
	})
})
