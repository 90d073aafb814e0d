import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { OpenSet } from './connections.js'

describe('OpenSet', () => {
	it('resolves waitUntilEmpty once for each wait', async () => {
		const open = new OpenSet<string>()
		const heard: string[] = []
		const wait = async (name: string) => {
			await open.waitUntilEmpty()
			heard.push(name)
		}
		await wait('at once')
		open.add('a').add('b')
		const waiting = Promise.all([wait('first'), wait('second')])
		expect([open.delete('a'), open.delete('a')]).toEqual([true, false])
		await setImmediate()
		expect(heard).toEqual(['at once'])
		open.delete('b')
		await waiting
		open.add('c')
		const again = wait('again')
		open.delete('c')
		await again
		expect(heard).toEqual(['at once', 'first', 'second', 'again'])
	})
})
