import { describe, expect, it } from 'vitest'
import { readSettings } from './options.js'

describe('readSettings', () => {
	it('requires only a url', () => {
		expect(readSettings({ url: 'http://localhost:3000' })).toMatchObject({ transport: 'auto', heartbeatMs: 15_000 })
	})

	it('takes an option that is undefined as absent', () => {
		const options = { url: 'http://h', heartbeatMs: undefined, backoff: { initialMs: undefined, maxMs: 5 } as never }
		expect(readSettings(options)).toMatchObject({ heartbeatMs: 15_000, backoff: { initialMs: 500, factor: 2, maxMs: 5 } })
	})

	it.each([
		[{ url: 'localhost:3000' }, /url is "localhost:3000"/],
		[{ url: '/relative' }, /url is "\/relative"/],
		[{ url: 'http://user:secret@h' }, /^url has a user name or password, which is not sent/],
		[{ url: 'http://user@h' }, /^url has a user name or password/],
		[{ url: 'http://h/?token=secret' }, /^url has a query, which is not sent/],
		[{ url: new URL('http://h/#secret') }, /^url has a fragment, which is not sent/],
		[{ url: 'http://h', heartbeatMs: -1 }, /heartbeatMs is -1/],
		[{ url: 'http://h', heartbeatMs: '5' as never }, /heartbeatMs is 5/],
		[{ url: 'http://h', connectTimeoutMs: null as never }, /connectTimeoutMs is null/],
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
