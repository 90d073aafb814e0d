import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Report } from './reports.js'
import { Reports } from './reports.js'

const BATCH_SIZE = 256 * 1024
const output = (delta: string, channel: 'text' | 'log' = 'text'): Report => ({ kind: 'output', delta, channel })
const progress = (fraction: number): Report => ({ kind: 'progress', fraction, message: '' })
const artifact = (size: number): Report => ({
	kind: 'artifact',
	id: 1,
	name: 'a',
	bytes: new Uint8Array(size),
	media_type: 'text/plain',
})

const report = fc.oneof(
	fc.tuple(fc.string(), fc.constantFrom('text', 'log')).map(([delta, channel]) => output(delta, channel)),
	fc.constant(output('x'.repeat(40_000))),
	fc.double({ min: 0, max: 1, noNaN: true }).map(progress),
	fc.integer({ min: 1, max: 9 }).map((tokens): Report => ({ kind: 'usage', used: { tokens } })),
	fc.constant(artifact(300_000)),
)

/** Joins everything that was reported, however it was batched. */
function sum(reports: readonly Report[]) {
	const text = (channel: string) => reports.map((r) => (r.kind === 'output' && r.channel === channel ? r.delta : '')).join('')
	const used = reports.reduce((all, r) => all + (r.kind === 'usage' ? (r.used.tokens ?? 0) : 0), 0)
	const others = reports.filter((r) => r.kind === 'progress' || r.kind === 'artifact')
	return { text: text('text'), log: text('log'), used, others }
}

describe('Reports', () => {
	it('arrive completely and in order, in batches of limited size', () => {
		fc.assert(
			fc.property(fc.array(fc.record({ report, taken: fc.boolean() }), { maxLength: 60 }), (calls) => {
				const batches: (readonly Report[])[] = []
				const reports = new Reports((batch) => batches.push(batch))
				let taken = 0
				for (const call of calls) {
					reports.push(call.report)
					if (call.taken && taken < batches.length) {
						taken += 1
						reports.acknowledge()
					}
					expect(batches.length - taken).toBeLessThanOrEqual(1)
				}
				for (; taken < batches.length; taken++) reports.acknowledge()
				expect(sum(batches.flat())).toEqual(sum(calls.map((call) => call.report)))
				for (const batch of batches) {
					const size = batch.reduce((all, r) => all + (r.kind === 'output' ? r.delta.length : 0), 0)
					expect(size).toBeLessThanOrEqual(BATCH_SIZE)
				}
			}),
		)
	})

	it('count as drained once the last batch was taken', async () => {
		const reports = new Reports(() => {})
		await reports.drained()
		reports.push(output('a'))
		reports.push(output('b'))
		let drained = false
		const waiting = reports.drained().then(() => {
			drained = true
		})
		reports.acknowledge()
		await Promise.resolve()
		expect(drained).toBe(false)
		reports.acknowledge()
		await waiting
	})

	it('are rejected before they fill the memory when no one takes them', () => {
		const reports = new Reports(() => {})
		const flood = () => {
			for (let sent = 0; sent < 1000; sent++) reports.push(output('x'.repeat(20_000)))
		}
		expect(flood).toThrow(expect.objectContaining({ code: 'too_large', retryable: false }))
	})

	it('need constant memory when they are progress and usage only', () => {
		const batches: (readonly Report[])[] = []
		const reports = new Reports((batch) => batches.push(batch))
		for (let sent = 1; sent <= 1_000_000; sent++) reports.push(progress(sent / 1_000_000))
		reports.acknowledge()
		expect(batches[1]?.length).toBeLessThanOrEqual(256)
		expect(batches[1]?.at(-1)).toEqual(progress(1))
	})
})
