import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DeflateContext } from '../../server/src/transports/websocket/deflate.js'
import { encodeCompressedFrame, encodeTextFrame } from '../../server/src/transports/websocket/frames.js'
import { FrameScanner } from './frame-scanner.js'
import { makeSentProse } from './prose.js'

const EVENTS = 30

const context = new DeflateContext()
/** Compresses all but the first events, with control frames in between. */
const bytes = Buffer.concat(
	Array.from({ length: EVENTS }, (_, seq) => {
		const text = JSON.stringify(makeSentProse(seq, seq * 7))
		return [encodeTextFrame('{"frame":"position"}'), seq < 3 ? encodeTextFrame(text) : encodeCompressedFrame(text, context)]
	}).flat(),
)

describe('FrameScanner', () => {
	it.each([true, false])(
		'finds every event wherever the bytes are cut, and reads the stamps of those it inflates (%s)',
		(inflates) => {
			fc.assert(
				fc.property(fc.array(fc.nat(bytes.length), { maxLength: 100 }), (places) => {
					const cuts = [0, ...places.sort((one, other) => one - other), bytes.length]
					const scanner = new FrameScanner(inflates)
					const found: [number, number][] = []
					for (const [index, end] of cuts.slice(1).entries())
						scanner.scan(bytes.subarray(cuts[index], end), (seq, stamp) => found.push([seq, stamp]))
					expect(found).toEqual(Array.from({ length: EVENTS }, (_, seq) => [seq, inflates || seq < 3 ? seq * 7 : 0]))
				}),
			)
		},
	)
})
