import { describe, expect, it } from 'vitest'
import { ManualClock } from '#test/support/manual-clock.js'
import { KeyRing } from './key-ring.js'
import { type ApiKey, hashKey, makeKey } from './keys.js'

const DAY_MS = 24 * 60 * 60 * 1000

function start() {
	const clock = new ManualClock()
	const ring = new KeyRing({
		clock: () => clock.now(),
		schedule: (callback, delayMs) => ({ [Symbol.dispose]: clock.after(delayMs, callback) }),
	})
	return { clock, ring }
}

function made(given: Partial<ApiKey> = {}): { readonly token: string; readonly key: ApiKey } {
	const token = makeKey()
	return { token, key: { id: 'ci', hash: hashKey(token).toString('hex'), tenant: 'acme', scopes: ['plans:read'], ...given } }
}

describe('KeyRing', () => {
	it('identifies the holder of a key by its hash alone', () => {
		const { ring } = start()
		const [a, b] = [made(), made({ id: 'bot', tenant: 'other', scopes: ['admin', 'events:publish'] })]
		ring.replace([a.key, b.key])
		expect(ring.find(b.token)).toMatchObject({ tenant: 'other', actor: { type: 'api_key', id: 'bot' } })
		expect([...(ring.find(a.token)?.scopes ?? [])]).toEqual(['plans:read'])
		for (const unknown of ['', makeKey(), a.key.hash, `${a.token}x`, a.token.toUpperCase()]) expect(ring.find(unknown)).toBeNull()
	})

	it('ends the connections of a key that is revoked or changed, and no others', () => {
		const { ring } = start()
		const [same, revoked, changed] = [made({ id: 'same' }), made({ id: 'revoked' }), made({ id: 'changed' })]
		ring.replace([same.key, revoked.key, changed.key])
		const [goesOn, ...others] = [same, revoked, changed].map(({ token }) => ring.find(token)?.expired)
		ring.replace([{ ...changed.key, scopes: ['admin'] }, structuredClone(same.key)])
		expect(goesOn?.aborted).toBe(false)
		expect(ring.find(same.token)?.expired).toBe(goesOn)
		expect(others.map((signal) => codeOf(signal))).toEqual(['auth_expired', 'auth_expired'])
		expect(ring.find(revoked.token)).toBeNull()
		expect([...(ring.find(changed.token)?.scopes ?? [])]).toEqual(['admin'])
	})

	it('ends a key when it expires, however far away that is, and leaves no timer behind', () => {
		const { ring, clock } = start()
		const { token, key } = made({ expires_at: new Date(100 * DAY_MS).toISOString() })
		ring.replace([key])
		const expired = ring.find(token)?.expired
		clock.advance(100 * DAY_MS - 1)
		expect(ring.find(token)?.expired).toBe(expired)
		expect(expired?.aborted).toBe(false)
		clock.advance(1)
		expect(codeOf(expired)).toBe('auth_expired')
		expect(ring.find(token)).toBeNull()
		expect(clock.pending).toBe(0)
	})

	it('rejects an expired key although its timer is late', () => {
		let now = 0
		const ring = new KeyRing({ clock: () => now, schedule: () => ({ [Symbol.dispose]: () => undefined }) })
		const { token, key } = made({ expires_at: new Date(1000).toISOString() })
		ring.replace([key])
		now = 1000
		expect(ring.find(token)).toBeNull()
	})

	it('clears its timers when it is disposed or a key is revoked', () => {
		const { ring, clock } = start()
		const [a, b] = [made({ id: 'a', expires_at: '2000-01-01T00:00:00Z' }), made({ id: 'b', expires_at: '2000-01-01T00:00:00Z' })]
		ring.replace([a.key, b.key])
		expect(clock.pending).toBe(2)
		ring.replace([b.key])
		expect(clock.pending).toBe(1)
		ring[Symbol.dispose]()
		expect(clock.pending).toBe(0)
	})
})

function codeOf(signal: AbortSignal | undefined): unknown {
	return (signal?.reason as { code?: unknown } | undefined)?.code
}
