import { describe, expect, it } from 'vitest'
import { createPacer } from './corpus.js'

describe('pacer', () => {
	it('yields to the event loop when the work since the last turn has taken 2 ms', async () => {
		let now = 0
		let turns = 0
		setImmediate(() => turns++)
		const pace = createPacer(new AbortController().signal, () => now)
		await pace()
		now = 1.9
		await pace()
		expect(turns).toBe(0)
		now = 2
		await pace()
		expect(turns).toBe(1)
		setImmediate(() => turns++)
		now = 3.9
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
