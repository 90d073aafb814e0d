import { describe, expect, it } from 'vitest'
import { addressOf, fillRoute } from './http.js'

const base = new URL('http://host:3000')

describe('a filled route', () => {
	it('has path fields in the path and the rest of a GET in the query, lists repeated, absent fields left out', () => {
		const input = { plan_id: 'p', after: 5, event_types: ['plan_started', 'error'], step_id: undefined, snapshot: true }
		const { url, body } = fillRoute(base, { method: 'GET', path: '/plans/{plan_id}/events' }, input)
		expect(url).toBe('http://host:3000/plans/p/events?after=5&event_types=plan_started&event_types=error&snapshot=true')
		expect(body).toBeNull()
	})

	it('has the rest of a POST in the body', () => {
		const filled = fillRoute(base, { method: 'POST', path: '/plans/{plan_id}/events' }, { plan_id: 'p', events: [1] })
		expect(filled).toEqual({ url: 'http://host:3000/plans/p/events', body: '{"events":[1]}' })
	})

	it('cannot be led to another path by what stands in a field', () => {
		const { url } = fillRoute(base, { method: 'GET', path: '/plans/{plan_id}' }, { plan_id: '../admin?x#y' })
		expect(url).toBe('http://host:3000/plans/..%2Fadmin%3Fx%23y')
	})
})

describe('an address', () => {
	it.each(['http://host/base', 'http://host/base/', 'http://host/base?query#hash'])('keeps the path of %s', (url) => {
		expect(addressOf(new URL(url), '/trpc').href).toBe('http://host/base/trpc')
	})
})
