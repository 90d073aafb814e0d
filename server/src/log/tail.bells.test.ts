import { once } from 'node:events'
import { expect, it, vi } from 'vitest'
import { PLAN } from '#test/support/plans/log-records.js'
import { Bells } from './tail.js'

it('an ear that throws does not keep the bell from the others, and its error reaches the process', async () => {
	const bells = new Bells()
	const listeners = process.listeners('uncaughtException')
	process.removeAllListeners('uncaughtException')
	const uncaught = once(process, 'uncaughtException')
	const ring = vi.fn()
	using _first = bells.add(PLAN, () => {
		throw new Error('deaf')
	})
	using _second = bells.add(PLAN, ring)
	bells.ring(PLAN, { summary: false })
	expect(ring).toHaveBeenCalledTimes(1)
	expect((await uncaught)[0]).toMatchObject({ message: 'deaf' })
	for (const listener of listeners) process.on('uncaughtException', listener)
})

it('an ear that stops listening while the bell rings is not a problem', () => {
	const bells = new Bells()
	const heard: string[] = []
	const first = bells.add(PLAN, () => {
		heard.push('first')
		first[Symbol.dispose]()
	})
	using _second = bells.add(PLAN, () => heard.push('second'))
	bells.ring(PLAN, { summary: false })
	bells.ring(PLAN, { summary: false })
	expect(heard).toEqual(['first', 'second', 'second'])
	expect(bells.size).toBe(1)
})
