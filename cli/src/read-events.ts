import type { EventInput } from '@planstream/client'
import { UsageError } from './failure.js'
import { type Input, isObject, parseJson, readText } from './read-input.js'

/** No event the server takes is larger. */
const MAX_LINE_CHARACTERS = 1024 * 1024
/** An array is held in memory as a whole; lines are not. */
const MAX_ARRAY_CHARACTERS = 64 * 1024 * 1024

const EXAMPLE = '{"event_type":"step_progress","step_id":"step_1","data":{"progress":0.5}}'

/** An event of an input. */
export interface SentEvent {
	readonly event: EventInput
	/** Where it stands in the input; begins a message about it. */
	readonly place: string
}

/**
 * The events of an input, a group for each piece that comes in, so that a pipe's events go on as soon as they are there.
 * The input is JSON lines, or one JSON array.
 *
 * @throws UsageError names the line that is no event
 */
export async function* readEvents(input: Input): AsyncGenerator<SentEvent[]> {
	const lines = new Lines(input.name)
	let array: string | null = null
	let begun = false
	for await (const part of readText(input)) {
		if (!begun && part.trimStart().startsWith('[')) array = ''
		begun ||= part.trim() !== ''
		if (array === null) yield lines.take(part)
		else array = longer(array, part, input.name)
	}
	yield array === null ? lines.end() : arrayEvents(array, input.name)
}

/** Cuts text into lines and each line into its event. */
class Lines {
	readonly #name: string
	#number = 0
	#rest = ''

	constructor(name: string) {
		this.#name = name
	}

	/** The events of the lines that this text completes. */
	take(text: string): SentEvent[] {
		const lines = (this.#rest + text).split('\n')
		this.#rest = lines.pop() ?? ''
		const events = lines.flatMap((line) => this.#event(line))
		if (this.#rest.length > MAX_LINE_CHARACTERS) {
			throw new UsageError(`${this.#name}, line ${this.#number + 1}, is longer than ${MAX_LINE_CHARACTERS} characters.`)
		}
		return events
	}

	/** The event of a last line without its end. */
	end(): SentEvent[] {
		return this.#event(this.#rest)
	}

	#event(line: string): SentEvent[] {
		this.#number += 1
		const place = `${this.#name}, line ${this.#number}`
		return line.trim() === '' ? [] : [toSent(parseJson(line, `${place},`), place)]
	}
}

function longer(array: string, part: string, name: string): string {
	if (array.length + part.length <= MAX_ARRAY_CHARACTERS) return array + part
	throw new UsageError(`${name} is an array of more than ${MAX_ARRAY_CHARACTERS} characters; write one event a line instead.`)
}

function arrayEvents(text: string, name: string): SentEvent[] {
	const events = parseJson(text, name)
	return Array.isArray(events) ? events.map((event, at) => toSent(event, `${name}, event ${at + 1}`)) : []
}

function toSent(value: unknown, place: string): SentEvent {
	if (!isObject<EventInput>(value)) throw new UsageError(`${place}, is no event. An event is an object such as ${EXAMPLE}.`)
	return { event: value, place }
}
