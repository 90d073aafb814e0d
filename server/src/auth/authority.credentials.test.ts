import { expect, it } from 'vitest'
import { bearerToken, chooseProtocol, upgradeToken } from './authority.js'

it.each([
	[undefined, null],
	['Bearer psk_a-b_c', 'psk_a-b_c'],
	['bearer  abc== ', 'abc=='],
])('reads a key from the header %s', (authorization, token) => {
	expect(bearerToken({ ...(authorization !== undefined && { authorization }) })).toBe(token)
})

it.each(['Basic abc', 'Bearer', 'Bearer a b', 'psk_abc', ''])(
	'refuses the header "%s" and says what it should be',
	(authorization) => {
		expect(() => bearerToken({ authorization })).toThrow(/"Bearer KEY"/)
	},
)

it('reads a key from the subprotocol of an upgrade, when its header has none', () => {
	const protocol = { 'sec-websocket-protocol': 'planstream, planstream.bearer.abc' }
	expect(upgradeToken(protocol)).toBe('abc')
	expect(upgradeToken({ ...protocol, authorization: 'Bearer def' })).toBe('def')
	expect(upgradeToken({ 'sec-websocket-protocol': 'planstream' })).toBeNull()
	expect(upgradeToken({})).toBeNull()
})

it('agrees to a protocol without a key where it can', () => {
	expect(chooseProtocol(new Set(['planstream.bearer.abc', 'planstream']))).toBe('planstream')
	expect(chooseProtocol(new Set(['planstream.bearer.abc']))).toBe('planstream.bearer.abc')
})
