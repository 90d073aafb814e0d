import { describe, expect, it } from 'vitest'
import { UsageError } from './exit.js'
import { readEvents, type SentEvent } from './input.js'

async function* pieces(...parts: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
	for (const part of parts) yield Buffer.from(part)
}

async function read(...parts: (string | Uint8Array)[]): Promise<SentEvent[][]> {
	const groups: SentEvent[][] = []
	for await (const group of readEvents({ name: 'events.jsonl', bytes: pieces(...parts) })) groups.push(group)
	return groups
}

const types = (groups: SentEvent[][]) => groups.map((group) => group.map(({ event }) => event.event_type))

describe('readEvents', () => {
	it('yields the complete lines of a pipe as they arrive', async () => {
		const groups = await read('{"event_type":"a"}\n{"event_', 'type":"b"}\r\n\n', '{"event_type":"c"}')
		expect(types(groups).filter((group) => group.length > 0)).toEqual([['a'], ['b'], ['c']])
	})

	it('reads an array in any layout', async () => {
		expect(types(await read('\n [\n {"event_type":"a"},', ' {"event_type":\n"b"}]\n')).flat()).toEqual(['a', 'b'])
	})

	it('decodes a character whose bytes arrive in two pieces', async () => {
		const bytes = Buffer.from('{"event_type":"ü"}\n')
		expect(types(await read(bytes.subarray(0, 16), bytes.subarray(16))).flat()).toEqual(['ü'])
	})

	it('yields nothing for an empty input', async () => {
		expect((await read('', ' \n')).flat()).toEqual([])
	})

	it.each([
		['a cut line', '{"a":1}\n{"a":\n', 'events.jsonl, line 2, is not JSON'],
		['a line with a number', '{"a":1}\n\n7\n', 'events.jsonl, line 3, is not an event'],
		['an array with null in it', '[{"a":1},null]', 'events.jsonl, event 2, is not an event'],
		['a cut array', '[{"a":1}', 'events.jsonl is not JSON'],
		['bytes that are not UTF-8', Uint8Array.of(0xff, 0xfe), 'events.jsonl is not UTF-8 text'],
		['a line longer than 1 MiB', 'x'.repeat(1024 * 1024 + 1), 'events.jsonl, line 1, is longer than'],
	])('rejects %s and names the place', async (_name, text, message) => {
		await expect(read(text)).rejects.toThrow(message)
		await expect(read(text)).rejects.toThrow(UsageError)
	})
})
