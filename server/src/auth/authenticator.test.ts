import { describe, expect, it } from 'vitest'
import { LOCAL_PRINCIPAL } from '../hub/principal.js'
import {
	type AccessRequest,
	chooseProtocol,
	createKeyAuthenticator,
	LOCAL_AUTHENTICATOR,
	readBearerToken,
	readUpgradeToken,
} from './authenticator.js'

const FIRST = { ...LOCAL_PRINCIPAL, tenant: 'first' }
const SECOND = { ...LOCAL_PRINCIPAL, tenant: 'second' }
const authority = createKeyAuthenticator({
	holders: [(token) => (token === 'a' ? FIRST : null), (token) => (token === 'a' || token === 'b' ? SECOND : null)],
	origins: ['https://app.example.com'],
})

function requestWith(token: string | null): AccessRequest {
	return { via: 'http', headers: token === null ? {} : { authorization: `Bearer ${token}` }, token: null }
}

describe('authenticators', () => {
	it('try the key holders in order', () => {
		expect(authority.identify(requestWith('a'), null)).toBe(FIRST)
		expect(authority.identify(requestWith('b'), null)).toBe(SECOND)
	})

	it.each([null, 'c'])('reject the key %j without repeating it, and say how to get one', (token) => {
		expect(() => authority.identify(requestWith(token), null)).toThrow(expect.objectContaining({ code: 'unauthorized' }) as Error)
		expect(() => authority.identify(requestWith(token), null)).toThrow(/`planstream keys create` makes one/)
	})

	it.each([
		{},
		{ host: 'api.example.com', origin: 'https://api.example.com' },
		{ host: 'api.example.com', origin: 'https://app.example.com' },
		{ host: 'api.example.com', origin: 'http://localhost:5173' },
		{ host: 'api.example.com', forwarded: 'for=203.0.113.9' },
		{ host: 'API.example.com', origin: 'http://api.example.com' },
		{ host: 'api.example.com:80', origin: 'http://api.example.com' },
		{ host: 'api.example.com:443', origin: 'https://api.example.com' },
	])('accept %j', (headers) => {
		expect(() => authority.checkOrigin({ headers, socket: {} })).not.toThrow()
	})

	it.each(['https://evil.example', 'null', 'https://app.example.com.evil.example', 'https://api.example.com:8443', 'nonsense'])(
		'reject a page of %s',
		(origin) => {
			expect(() => authority.checkOrigin({ headers: { host: 'api.example.com', origin }, socket: {} })).toThrow(
				/PLANSTREAM_ORIGINS/,
			)
		},
	)

	it("reject calls of an application's router that was given no principal", () => {
		for (const each of [authority, LOCAL_AUTHENTICATOR]) {
			const call = () => each.identify({ via: 'router', headers: {}, token: 'a' }, { principal: FIRST })
			expect(call).toThrow(expect.objectContaining({ code: 'unauthorized' }) as Error)
		}
	})

	it.each(['127.0.0.1', '127.3.2.1', '::1', '::ffff:127.0.0.1'])('accept requests from %s without a key', (remoteAddress) => {
		expect(() =>
			LOCAL_AUTHENTICATOR.checkOrigin({ headers: { host: 'localhost:3000' }, socket: { remoteAddress } }),
		).not.toThrow()
	})

	it.each(['192.0.2.1', '::ffff:192.0.2.1', 'fe80::1', '10.127.0.0', undefined])(
		'reject requests from %s without a key, whatever their headers say',
		(remoteAddress) => {
			const originGuard = () =>
				LOCAL_AUTHENTICATOR.checkOrigin({ headers: { host: 'localhost:3000' }, socket: { remoteAddress } })
			expect(originGuard).toThrow(expect.objectContaining({ code: 'forbidden' }) as Error)
		},
	)
})

describe('credentials of a request', () => {
	it.each([
		[undefined, null],
		['Bearer psk_a-b_c', 'psk_a-b_c'],
		['bearer  abc== ', 'abc=='],
	])('are read from the header %s', (authorization, token) => {
		expect(readBearerToken({ ...(authorization !== undefined && { authorization }) })).toBe(token)
	})

	it.each(['Basic abc', 'Bearer', 'Bearer a b', 'psk_abc', ''])(
		'are rejected in the header "%s", with the expected form',
		(authorization) => {
			expect(() => readBearerToken({ authorization })).toThrow(/"Bearer KEY"/)
		},
	)

	it('are read from the subprotocol of an upgrade when it has no header', () => {
		const protocol = { 'sec-websocket-protocol': 'planstream, planstream.bearer.abc' }
		expect(readUpgradeToken(protocol)).toBe('abc')
		expect(readUpgradeToken({ ...protocol, authorization: 'Bearer def' })).toBe('def')
		expect(readUpgradeToken({ 'sec-websocket-protocol': 'planstream' })).toBeNull()
		expect(readUpgradeToken({})).toBeNull()
	})

	it('are optional when a subprotocol is chosen', () => {
		expect(chooseProtocol(new Set(['planstream.bearer.abc', 'planstream-1']))).toBe('planstream-1')
		expect(chooseProtocol(new Set(['other', 'planstream-1']))).toBe('other')
		expect(chooseProtocol(new Set())).toBe(false)
	})

	it('never agrees to a protocol that holds a key, nor to one that it does not know beside a key', () => {
		for (const offered of [['planstream.bearer.abc'], ['planstream.bearer.abc', 'other'], ['other', 'planstream.bearer.abc']])
			expect(chooseProtocol(new Set(offered))).toBe(false)
	})
})
