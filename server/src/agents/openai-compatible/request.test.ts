import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { streamedReply } from '#test/support/agents/fake-openai.js'
import { readChunks } from './request.js'

async function* cutAt(bytes: Uint8Array, cuts: readonly number[]): AsyncGenerator<Uint8Array> {
	const places = [0, ...cuts.map((cut) => cut % bytes.length).sort((a, b) => a - b), bytes.length]
	for (const [index, place] of places.entries()) yield bytes.subarray(places[index - 1] ?? 0, place)
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
	let text = ''
	for await (const { choices } of readChunks(body)) text += choices[0]?.delta?.content ?? ''
	return text
}

describe('a streamed answer', () => {
	it('yields the same text wherever its bytes are cut', async () => {
		const deltas = fc.array(fc.oneof(fc.string({ unit: 'grapheme' }), fc.constant('grüße 😀 日本\n\ndata: x')), {
			minLength: 1,
			maxLength: 6,
		})
		await fc.assert(
			fc.asyncProperty(deltas, fc.array(fc.nat(), { maxLength: 20 }), async (given, cuts) => {
				const bytes = new TextEncoder().encode(streamedReply(given))
				expect(await textOf(cutAt(bytes, cuts))).toBe(given.join(''))
			}),
		)
	})

	it('may contain comments, carriage returns and unknown fields', async () => {
		const text = `: hello\r\n\r\ndata: ${JSON.stringify({ new: 1, choices: [{ delta: { content: 'a', role: 'b' }, logprobs: null }] })}\r\n\r\n`
		expect(await textOf(cutAt(new TextEncoder().encode(text), []))).toBe('a')
	})

	it.each([
		['text', 'data: not json\n\n'],
		['JSON of another shape', 'data: {"choices": "none"}\n\n'],
		['an endless event', `data: ${'x'.repeat(2_000_000)}`],
	])('is rejected when it is %s', async (_what, text) => {
		const reading = textOf(cutAt(new TextEncoder().encode(text), [1_500_000]))
		await expect(reading).rejects.toMatchObject({ code: 'upstream_invalid', retryable: true })
	})
})
