import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EVENT_BYTES, makeDeliveredEvent } from '../events.js'
import { Scanner } from './scanner.js'

function scanned(chunks: readonly Buffer[]): [number, number][] {
	const found: [number, number][] = []
	const scanner = new Scanner()
	for (const chunk of chunks) scanner.scan(chunk, (seq, stamp) => found.push([seq, stamp]))
	return found
}

describe('Scanner', () => {
	it('finds every event with its number and stamp wherever the bytes are cut', () => {
		const events = [0, 1, 2, 31_415].map((seq) => [seq, seq * 1_000_003] as [number, number])
		const bytes = Buffer.from(
			events.map(([seq, stamp]) => `data@: ${JSON.stringify(makeDeliveredEvent(seq, stamp))}\n\n`).join(''),
		)
		fc.assert(
			fc.property(fc.array(fc.nat(bytes.length)), (places) => {
				const cuts = [0, ...places.sort((one, other) => one - other), bytes.length]
				const chunks = cuts.slice(1).map((end, index) => bytes.subarray(cuts[index], end))
				expect(scanned(chunks)).toEqual(events)
			}),
		)
	})

	it('predicts the size of an event except for the digits of its number', () => {
		for (const seq of [0, 99_999])
			expect(Math.abs(JSON.stringify(makeDeliveredEvent(seq, 0)).length - EVENT_BYTES)).toBeLessThan(20)
	})
})
