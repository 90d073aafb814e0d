import { expect, it } from 'vitest'
import { LOCAL_PRINCIPAL } from '../hub/principal.js'
import { keyAuthority } from './authority.js'

const FIRST = { ...LOCAL_PRINCIPAL, tenant: 'first' }
const SECOND = { ...LOCAL_PRINCIPAL, tenant: 'second' }
const authority = keyAuthority({
	holders: [(token) => (token === 'a' ? FIRST : null), (token) => (token === 'a' || token === 'b' ? SECOND : null)],
	origins: ['https://app.example.com'],
})

it('asks its holders in order', () => {
	expect(authority.identify('a')).toBe(FIRST)
	expect(authority.identify('b')).toBe(SECOND)
})

it.each([null, 'c', ''])('refuses %j and tells how to get in, without the key', (token) => {
	expect(() => authority.identify(token)).toThrow(expect.objectContaining({ code: 'unauthorized' }) as Error)
	expect(() => authority.identify(token)).toThrow(/`planstream keys create` makes one/)
})

it.each([
	{},
	{ host: 'api.example.com', origin: 'https://api.example.com' },
	{ host: 'api.example.com', origin: 'https://app.example.com' },
	{ host: 'api.example.com', origin: 'http://localhost:5173' },
	{ host: 'api.example.com', forwarded: 'for=203.0.113.9' },
])('welcomes %j', (headers) => {
	expect(() => authority.assertWelcome(headers)).not.toThrow()
})

it.each(['https://evil.example', 'null', 'https://app.example.com.evil.example', 'https://api.example.com:8443', 'nonsense'])(
	'refuses a page of %s',
	(origin) => {
		expect(() => authority.assertWelcome({ host: 'api.example.com', origin })).toThrow(/PLANSTREAM_ORIGINS/)
	},
)
