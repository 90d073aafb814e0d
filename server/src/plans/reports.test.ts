import type { OutputChannel, ParsedEvent } from '@planstream/shared'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Schedule } from '../ops/clock.js'
import { OUTPUT_CHARACTERS, Output } from './reports.js'

/** A timer that fires when the test says so. */
class FakeTimer {
	readonly waiting = new Set<() => void>()

	readonly schedule: Schedule = (callback) => {
		this.waiting.add(callback)
		return { [Symbol.dispose]: () => this.waiting.delete(callback) }
	}

	fire(): void {
		for (const callback of [...this.waiting]) callback()
	}
}

const channels = ['text', 'log', 'data'] as const
const deltas = fc.array(
	fc.record({
		channel: fc.constantFrom(...channels),
		delta: fc.oneof(
			fc.string({ unit: 'grapheme' }),
			fc.constant('😀'.repeat(OUTPUT_CHARACTERS - 3)),
			fc.string({ unit: 'binary' }),
		),
		fire: fc.boolean(),
	}),
	{ maxLength: 12 },
)

function asOutput(event: ParsedEvent): Extract<ParsedEvent, { event_type: 'step_output' }> {
	if (event.event_type !== 'step_output') throw new TypeError('an output emits step_output alone')
	return event
}

describe('Output', () => {
	it('keeps all characters of a channel in order for any sequence of pieces', () => {
		fc.assert(
			fc.property(deltas, (pushes) => {
				const events: Extract<ParsedEvent, { event_type: 'step_output' }>[] = []
				const timer = new FakeTimer()
				const output = new Output('s', 1, (event) => events.push(asOutput(event)), timer.schedule)
				for (const { channel, delta, fire } of pushes) {
					output.push(delta, channel, undefined)
					if (fire) timer.fire()
				}
				output.flush()
				for (const channel of channels) {
					const sent = pushes.flatMap((push) => (push.channel === channel ? [push.delta] : [])).join('')
					const pieces = events.flatMap(({ data }) =>
						data.channel === channel ? [{ delta: data.delta ?? '', index: data.index }] : [],
					)
					expect(pieces.map(({ delta }) => delta).join('')).toBe(sent)
					expect(pieces.map(({ index }) => index)).toEqual(pieces.map((_, index) => index))
					expect(pieces.every(({ delta }) => delta.length > 0 && delta.length <= OUTPUT_CHARACTERS)).toBe(true)
				}
				expect(timer.waiting.size).toBe(0)
			}),
			{ numRuns: 60 },
		)
	})

	it('joins pieces within its window into one event and keeps levels apart', () => {
		const events: Extract<ParsedEvent, { event_type: 'step_output' }>[] = []
		const timer = new FakeTimer()
		const output = new Output('s', 1, (event) => events.push(asOutput(event)), timer.schedule)
		const push = (delta: string, level?: string, channel: OutputChannel = 'log') => output.push(delta, channel, level)
		for (const letter of 'hello') push(letter)
		expect(events).toEqual([])
		timer.fire()
		push('a', 'warn')
		push('b', 'error')
		timer.fire()
		expect(events.map(({ data }) => [data.delta, data.level])).toEqual([
			['hello', undefined],
			['a', 'warn'],
			['b', 'error'],
		])
	})
})
