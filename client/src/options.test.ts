import { describe, expect, it } from 'vitest'
import { readSettings } from './options.js'

describe('readSettings', () => {
	it('requires only a url', () => {
		expect(readSettings({ url: 'http://localhost:3000' })).toMatchObject({ transport: 'auto', heartbeatMs: 15_000 })
	})

	it.each([
		[{ url: 'localhost:3000' }, /url is "localhost:3000"/],
		[{ url: '/relative' }, /url is "\/relative"/],
		[{ url: 'http://h', heartbeatMs: -1 }, /heartbeatMs is -1/],
		[{ url: 'http://h', backoff: { factor: Number.NaN } }, /factor is NaN/],
	])('rejects %j and says what is expected', (options, message) => {
		expect(() => readSettings(options)).toThrow(message)
	})

	it('rejects transport "websocket" when no WebSocket is available', () => {
		const builtIn = globalThis.WebSocket
		try {
			Reflect.deleteProperty(globalThis, 'WebSocket')
			expect(() => readSettings({ url: 'http://h', transport: 'websocket' })).toThrow(/Pass one as `WebSocket`/)
		} finally {
			if (builtIn !== undefined) globalThis.WebSocket = builtIn
		}
	})
})
