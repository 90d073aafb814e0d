import { escapeLineEnds } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import { exactSuite } from '../../suites/exact.suite.js'
import { StreamServer } from '../../support/servers/stream-server.js'
import { RAW_STREAMS } from '../../support/streams/raw-streams.js'

exactSuite(25)

const EVENTS = [
	{
		event_type: 'plan_started',
		data: { query: 'Ω "that"\n\u2028\u2029\u0085\u0000', total_steps: 1, of_my_own: [1e21, -0, 0.1, null] },
	},
	{ event_type: 'step_output', step_id: 's', data: { channel: 'data', index: 0, value: { b: 1, a: '😀\ud800' } } },
	{ event_type: 'plan_completed', data: { result: { '10': 'x', '9': 'y' } } },
]

describe.each(RAW_STREAMS)('over %s', (name, read) => {
	it('sends the bytes of each event as they are stored, on one line for every reader over plain SSE', async () => {
		await using server = await StreamServer.start()
		await server.publish('p', EVENTS)
		const wire = await read(server.url, 'p')
		let from = 0
		for (const stored of await server.texts('p')) {
			const text = name === 'plain SSE' ? escapeLineEnds(stored) : stored
			const at = wire.indexOf(text, from)
			expect(at, text).toBeGreaterThanOrEqual(from)
			from = at + text.length
		}
		await server.quiet()
	})
})
