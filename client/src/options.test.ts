import { describe, expect, it } from 'vitest'
import { readSettings } from './options.js'

describe('options', () => {
	it('need nothing but a url', () => {
		expect(readSettings({ url: 'http://localhost:3000' })).toMatchObject({ transport: 'auto', heartbeatMs: 15_000 })
	})

	it.each([
		[{ url: 'localhost:3000' }, /url is "localhost:3000"/],
		[{ url: '/relative' }, /url is "\/relative"/],
		[{ url: 'http://h', heartbeatMs: -1 }, /heartbeatMs is -1/],
		[{ url: 'http://h', backoff: { factor: Number.NaN } }, /factor is NaN/],
	])('%j are refused with the value and what is expected', (options, message) => {
		expect(() => readSettings(options)).toThrow(message)
	})

	it('that ask for WebSocket where there is none are refused', () => {
		const builtIn = globalThis.WebSocket
		try {
			Reflect.deleteProperty(globalThis, 'WebSocket')
			expect(() => readSettings({ url: 'http://h', transport: 'websocket' })).toThrow(/Pass one as `WebSocket`/)
		} finally {
			if (builtIn !== undefined) globalThis.WebSocket = builtIn
		}
	})
})
