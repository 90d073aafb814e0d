import type { EventInput, PublishOutput } from '@planstream/client'
import { type ErrorCode, PlanstreamError } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import { UsageError } from './failure.js'
import { publishBatch } from './publish-batch.js'
import type { SentEvent } from './read-events.js'

const batch = ['a', 'b', 'c'].map((event_id, at): SentEvent => {
	const event = { event_id, event_type: 'error', data: { code: 'x', message: '' } } as const
	return { event, place: `events.jsonl, line ${at + 1}`, bytes: 80 }
})

const failure = (code: ErrorCode, facts = {}, cause?: Error) => new PlanstreamError(code, 'No.', facts, cause ? { cause } : {})
const SILENCE = failure('internal', {}, new TypeError('fetch failed'))

/** A server that answers what it is told to, in turn, and then takes everything. */
function server(...answers: Error[]) {
	const sent: string[][] = []
	const pauses: number[] = []
	const publish = (events: readonly EventInput[]): Promise<PublishOutput> => {
		sent.push(events.map(({ event_id }) => event_id ?? ''))
		const answer = answers.shift()
		if (answer !== undefined) return Promise.reject(answer)
		const results = events.map(({ event_id = '' }, at) => ({ event_id, seq: at + 1, duplicate: false }))
		return Promise.resolve({ epoch: 'e', cursor: 'c', results })
	}
	const pause = (ms: number) => Promise.resolve(pauses.push(ms))
	return { sent, pauses, publish, pause }
}

const ALL = ['a', 'b', 'c']

describe('publishing a batch', () => {
	it('sends the identical batch again when there was no answer or the server asks for patience', async () => {
		const { sent, pauses, ...ports } = server(SILENCE, failure('rate_limited'), failure('draining'))
		await expect(publishBatch(batch, { ...ports, known: true })).resolves.toHaveLength(1)
		expect(sent).toEqual([ALL, ALL, ALL, ALL])
		expect(pauses).toEqual([250, 500, 1000])
	})

	it('gives up on a server that stays silent, with its last error', async () => {
		const { sent, ...ports } = server(...Array.from({ length: 20 }, () => SILENCE))
		await expect(publishBatch(batch, { ...ports, known: true })).rejects.toBe(SILENCE)
		expect(sent).toHaveLength(7)
	})

	it('does not wait for a server that has never answered', async () => {
		const { sent, ...ports } = server(SILENCE)
		await expect(publishBatch(batch, { ...ports, known: false })).rejects.toBe(SILENCE)
		expect(sent).toEqual([ALL])
	})

	it('sends stored events by themselves, to be compared, and the new ones after them', async () => {
		const { sent, ...ports } = server(failure('conflict', { duplicates: ['a', 'c'] }))
		await expect(publishBatch(batch, { ...ports, known: true })).resolves.toHaveLength(2)
		expect(sent).toEqual([ALL, ['a', 'c'], ['b']])
	})

	it('sends nothing new when a stored event differs', async () => {
		const { sent, ...ports } = server(failure('conflict', { duplicates: ['a'] }), failure('conflict'))
		await expect(publishBatch(batch, { ...ports, known: true })).rejects.toMatchObject({ code: 'conflict' })
		expect(sent).toEqual([ALL, ['a']])
	})

	it('names the place of the event that is refused', async () => {
		const { sent, ...ports } = server(failure('invalid_event', { path: 'events[1].data' }))
		await expect(publishBatch(batch, { ...ports, known: true })).rejects.toThrow(new UsageError('events.jsonl, line 2: No.'))
		expect(sent).toEqual([ALL])
	})
})
