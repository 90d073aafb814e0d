import { describe, expect, it } from 'vitest'
import { type Connection, ConnectionMonitor } from './connection.js'

const one = {}
const two = {}
const error = new Error('cut')

describe('ConnectionMonitor', () => {
	it('reports the best state of all subscriptions', () => {
		const monitor = new ConnectionMonitor('websocket')
		expect(monitor.current).toEqual({ state: 'idle', transport: 'websocket', error: null })
		monitor.report(one, { state: 'reconnecting', transport: 'sse', error })
		expect(monitor.current).toEqual({ state: 'reconnecting', transport: 'sse', error })
		monitor.report(two, { state: 'connecting', transport: 'sse' })
		expect(monitor.current.state).toBe('connecting')
		monitor.report(one, { state: 'open', transport: 'sse' })
		expect(monitor.current).toEqual({ state: 'open', transport: 'sse', error: null })
		monitor.report(one, null)
		monitor.report(two, null)
		expect(monitor.current).toEqual({ state: 'idle', transport: 'sse', error: null })
	})

	it('notifies listeners of changes only, until they are released', () => {
		const monitor = new ConnectionMonitor('sse')
		const seen: Connection['state'][] = []
		const release = monitor.listen(({ state }) => seen.push(state))
		monitor.report(one, { state: 'open', transport: 'sse' })
		monitor.report(two, { state: 'open', transport: 'sse' })
		release()
		monitor.report(one, null)
		monitor.report(two, null)
		expect(seen).toEqual(['open'])
	})

	it('stays closed after close', () => {
		const monitor = new ConnectionMonitor('sse')
		monitor.close()
		monitor.report(one, { state: 'open', transport: 'sse' })
		monitor.report(one, null)
		expect(monitor.current.state).toBe('closed')
	})
})
