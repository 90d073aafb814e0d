import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MessageReader } from '#test/support/streams/websocket-messages.js'
import { chooseOffer, DeflateContext } from './deflate.js'
import { encodeCompressedFrame, encodeTextFrame } from './frames.js'

const CHROMIUM = 'permessage-deflate; client_max_window_bits'
const NO_CONTEXT = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover'

describe('chooseOffer', () => {
	it.each([
		[CHROMIUM, CHROMIUM, true],
		['permessage-deflate', 'permessage-deflate', true],
		['permessage-deflate;server_max_window_bits="12"', 'permessage-deflate;server_max_window_bits="12"', true],
		[NO_CONTEXT, NO_CONTEXT, false],
		[`permessage-deflate; server_max_window_bits=10, ${CHROMIUM}`, CHROMIUM, true],
		[`x-webkit-deflate-frame, ${NO_CONTEXT}, ${CHROMIUM}`, NO_CONTEXT, false],
	])('answers "%s" with %s', (header, text, keepsContext) => {
		expect(chooseOffer(header)).toEqual({ text, keepsContext })
	})

	it.each([
		undefined,
		'',
		'permessage-bzip2',
		'permessage-deflate; server_max_window_bits=11',
		'permessage-deflate; server_max_window_bits',
		'permessage-deflate; server_max_window_bits=16',
		'permessage-deflate; server_no_context_takeover=1',
		'permessage-deflate; client_max_window_bits; client_max_window_bits=12',
		'permessage-deflate; colour=blue',
		'permessage-deflate; ',
	])('rejects "%s"', (header) => {
		expect(chooseOffer(header)).toBeNull()
	})
})

const WINDOW_BYTES = 4096

/** Texts from empty to several windows long, random or repetitive, in any script. */
const text = fc.oneof(
	{ weight: 4, arbitrary: fc.string({ unit: 'grapheme', maxLength: 200 }) },
	{
		weight: 2,
		arbitrary: fc
			.tuple(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }), fc.nat(300))
			.map(([part, count]) => part.repeat(count)),
	},
	{
		weight: 1,
		arbitrary: fc.uint8Array({ minLength: 1000, maxLength: 9000 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
	},
)

const step = fc.record({ text, isCompressed: fc.boolean() })

describe('DeflateContext', () => {
	it('writes messages that a receiver with one window reads unchanged, with plain ones in between', () => {
		fc.assert(
			fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
				const context = new DeflateContext()
				const reader = new MessageReader()
				for (const { text, isCompressed } of steps)
					reader.read(isCompressed ? encodeCompressedFrame(text, context) : encodeTextFrame(text))
				expect(reader.messages.map(({ text, isCompressed }) => ({ text, isCompressed }))).toEqual(steps)
			}),
			{ numRuns: 60 },
		)
	})

	it('writes the same bytes from any two full contexts, so that a receiver may switch between them', () => {
		fc.assert(
			fc.property(fc.array(text, { minLength: 1, maxLength: 60 }), fc.nat(), fc.nat(), (texts, begin, change) => {
				const old = new DeflateContext()
				const young = new DeflateContext()
				const reader = new MessageReader()
				const begins = begin % texts.length
				let isSame = 0
				for (const [index, text] of texts.entries()) {
					const wasFull = index > begins && young.isFull()
					const before = encodeCompressedFrame(text, old)
					if (index < begins) continue
					const after = encodeCompressedFrame(text, young)
					if (wasFull) expect(after.equals(before)).toBe(true)
					if (wasFull) isSame++
					reader.read(wasFull && index > change % texts.length ? before : after)
				}
				expect(reader.messages.map(({ text }) => text)).toEqual(texts.slice(begins))
				const bytes = Buffer.byteLength(texts.slice(begins, -1).join(''))
				expect(isSame > 0).toBe(bytes >= WINDOW_BYTES)
			}),
			{ numRuns: 100 },
		)
	})

	it('keeps one window and no more after a message of any size', () => {
		const context = new DeflateContext()
		expect([context.isNew(), context.isFull()]).toEqual([true, false])
		context.deflate('x'.repeat(WINDOW_BYTES - 1))
		expect([context.isNew(), context.isFull()]).toEqual([false, false])
		context.deflate('y')
		expect(context.isFull()).toBe(true)
		const large = 'z'.repeat(1_000_000)
		expect(context.deflate(large).length).toBeLessThan(2000)
		expect(context.deflate(large.slice(0, 3000)).length).toBeLessThan(30)
	})
})
