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

describe('authorities', () => {
	it('asks its holders in order', () => {
		expect(authority.identify(requestWith('a'), null)).toBe(FIRST)
		expect(authority.identify(requestWith('b'), null)).toBe(SECOND)
	})

	it.each([null, 'c'])('refuses %j and tells how to get in, without the key', (token) => {
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
	])('welcomes %j', (headers) => {
		expect(() => authority.checkOrigin({ headers, socket: {} })).not.toThrow()
	})

	it.each(['https://evil.example', 'null', 'https://app.example.com.evil.example', 'https://api.example.com:8443', 'nonsense'])(
		'refuses a page of %s',
		(origin) => {
			expect(() => authority.checkOrigin({ headers: { host: 'api.example.com', origin }, socket: {} })).toThrow(
				/PLANSTREAM_ORIGINS/,
			)
		},
	)

	it('lets nobody call the router of an application that did not say who may', () => {
		for (const each of [authority, LOCAL_AUTHENTICATOR]) {
			const call = () => each.identify({ via: 'router', headers: {}, token: 'a' }, { principal: FIRST })
			expect(call).toThrow(expect.objectContaining({ code: 'unauthorized' }) as Error)
		}
	})

	it.each(['127.0.0.1', '127.3.2.1', '::1', '::ffff:127.0.0.1'])(
		'without keys takes requests of its own machine, from %s',
		(remoteAddress) => {
			expect(() =>
				LOCAL_AUTHENTICATOR.checkOrigin({ headers: { host: 'localhost:3000' }, socket: { remoteAddress } }),
			).not.toThrow()
		},
	)

	it.each(['192.0.2.1', '::ffff:192.0.2.1', 'fe80::1', '10.127.0.0', undefined])(
		'without keys refuses what comes from %s, whatever its headers say',
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
	])('reads a key from the header %s', (authorization, token) => {
		expect(readBearerToken({ ...(authorization !== undefined && { authorization }) })).toBe(token)
	})

	it.each(['Basic abc', 'Bearer', 'Bearer a b', 'psk_abc', ''])(
		'refuses the header "%s" and says what it should be',
		(authorization) => {
			expect(() => readBearerToken({ authorization })).toThrow(/"Bearer KEY"/)
		},
	)

	it('reads a key from the subprotocol of an upgrade, when its header has none', () => {
		const protocol = { 'sec-websocket-protocol': 'planstream, planstream.bearer.abc' }
		expect(readUpgradeToken(protocol)).toBe('abc')
		expect(readUpgradeToken({ ...protocol, authorization: 'Bearer def' })).toBe('def')
		expect(readUpgradeToken({ 'sec-websocket-protocol': 'planstream' })).toBeNull()
		expect(readUpgradeToken({})).toBeNull()
	})

	it('agrees to a protocol without a key where it can', () => {
		expect(chooseProtocol(new Set(['planstream.bearer.abc', 'planstream-1']))).toBe('planstream-1')
		expect(chooseProtocol(new Set(['other', 'planstream-1']))).toBe('other')
		expect(chooseProtocol(new Set())).toBe(false)
	})

	it('never agrees to a protocol that holds a key, nor to one that it does not know beside a key', () => {
		for (const offered of [['planstream.bearer.abc'], ['planstream.bearer.abc', 'other'], ['other', 'planstream.bearer.abc']])
			expect(chooseProtocol(new Set(offered))).toBe(false)
	})
})
