import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { Slots } from './isolated-agent.js'

describe('slots', () => {
	it('let the next in when one is free, in the order they came, but for who left', async () => {
		const slots = new Slots(1)
		const stay = new AbortController()
		const leave = new AbortController()
		const entered: string[] = []
		const first = await slots.take(stay.signal)
		const enter = async (name: string) => {
			const slot = await slots.take(stay.signal)
			entered.push(name)
			return slot
		}
		const waiting = ['b', 'c'].map(enter)
		const left = slots.take(leave.signal)
		const last = slots.take(stay.signal)
		leave.abort(new Error('enough'))
		await expect(left).rejects.toThrow('enough')
		first[Symbol.dispose]()
		for (const next of waiting) (await next)[Symbol.dispose]()
		expect(entered).toEqual(['b', 'c'])
		using _last = await last
		expect(getEventListeners(stay.signal, 'abort')).toHaveLength(0)
		expect(getEventListeners(leave.signal, 'abort')).toHaveLength(0)
	})
})
