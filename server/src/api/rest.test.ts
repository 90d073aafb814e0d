import { contract } from '@planstream/shared/schemas'
import { describe, expect, it } from 'vitest'
import { listQueryParameters, readQuery } from './rest.js'

const EVENTS = listQueryParameters(contract['plans.events'].input, ['plan_id', 'lastEventId'])
const LIST = listQueryParameters(contract['plans.list'].input, [])

describe('query parameters', () => {
	it('include the fields of an input except those in the path', () => {
		expect([...EVENTS.keys()]).toEqual(['after', 'event_types', 'step_id', 'snapshot', 'follow', 'max_events_per_s'])
	})

	it('have the type of their field', () => {
		const query = '?after=12&snapshot=true&follow=always&step_id=7'
		expect(readQuery(query, EVENTS)).toEqual({ after: '12', snapshot: true, follow: 'always', step_id: '7' })
		expect(readQuery('?limit=5&query=12', LIST)).toEqual({ limit: 5, query: '12' })
	})

	it('accept words separated by commas, repeated, or both', () => {
		const query = '?event_types=plan_started,plan_failed&event_types=error'
		expect(readQuery(query, EVENTS)).toEqual({ event_types: ['plan_started', 'plan_failed', 'error'] })
	})

	it('are an empty list of words when there is no text', () => {
		expect(readQuery('?event_types=', EVENTS)).toEqual({ event_types: [] })
	})

	it('keep a comma within free text', () => {
		expect(readQuery('?label=note=a,b&label=team=c+d%2C', LIST)).toEqual({ label: ['note=a,b', 'team=c d,'] })
	})

	it('leave invalid values to the schema', () => {
		expect(readQuery('?limit=1e9', LIST)).toEqual({ limit: '1e9' })
		expect(readQuery('?snapshot=yes', EVENTS)).toEqual({ snapshot: 'yes' })
	})

	it('reject unknown names and two values for one field', () => {
		expect(() => readQuery('?page_size=1', LIST)).toThrow(/"page_size"\. This address takes status, label, query,/)
		expect(() => readQuery('?limit=1&limit=2', LIST)).toThrow(/limit twice/)
	})
})
