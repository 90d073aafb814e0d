import { createReadStream } from 'node:fs'
import type { EventInput } from '@planstream/client'
import { UsageError } from './exit.js'

/** Maximum size of a document that is read as a whole. */
const MAX_DOCUMENT_BYTES = 64 * 1024 * 1024

/** Input of a command. */
export interface Input {
	/** Name at the start of messages about it. */
	readonly name: string
	readonly bytes: AsyncIterable<Uint8Array>
}

/** Opens a file, or standard input for `-`. */
export function openInput(path: string): Input {
	return path === '-' ? { name: 'Standard input', bytes: process.stdin } : { name: path, bytes: createReadStream(path) }
}

/**
 * Reads the text of an input as it arrives.
 *
 * @throws UsageError when it cannot be read or is not UTF-8
 */
export async function* readText({ name, bytes }: Input): AsyncGenerator<string> {
	const decoder = new TextDecoder('utf-8', { fatal: true })
	try {
		for await (const chunk of bytes) yield decoder.decode(chunk, { stream: true })
		yield decoder.decode()
	} catch (error) {
		throw new UsageError(`${name} ${explain(error)}`, { cause: error })
	}
}

function explain(error: unknown): string {
	const code = error instanceof Error && 'code' in error ? error.code : undefined
	if (code === 'ENOENT') return 'does not exist. Give the path of a file, or - for standard input.'
	if (code === 'EISDIR') return 'is a directory. Give the path of a file, or - for standard input.'
	if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return 'is not UTF-8 text.'
	return `cannot be read: ${error instanceof Error ? error.message : String(error)}`
}

/**
 * Reads a whole input as one JSON value.
 *
 * @throws UsageError when it is not JSON or is larger than 64 MiB
 */
export async function readJson(input: Input): Promise<unknown> {
	let text = ''
	for await (const part of readText(input)) {
		text += part
		if (text.length > MAX_DOCUMENT_BYTES) throw new UsageError(`${input.name} is larger than ${MAX_DOCUMENT_BYTES} bytes.`)
	}
	return parseJson(text, input.name)
}

/** @param what - name of the text, at the start of the message */
function parseJson(text: string, what: string): unknown {
	try {
		return JSON.parse(text)
	} catch (error) {
		throw new UsageError(`${what} is not JSON: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
	}
}

/** Checks only that a value is an object: the server validates the rest and names the path of an error. */
export function isObject<Expected extends object = Record<string, unknown>>(value: unknown): value is Expected {
	return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Maximum size of an event that the server accepts. */
const MAX_LINE_CHARACTERS = 1024 * 1024
/** An array is held in memory as a whole; lines are not. */
const MAX_ARRAY_CHARACTERS = 64 * 1024 * 1024

const EXAMPLE = '{"event_type":"step_progress","step_id":"step_1","data":{"progress":0.5}}'

/** An event read from an input. */
export interface SentEvent {
	readonly event: EventInput
	/** Position in the input, at the start of messages about it. */
	readonly place: string
}

/**
 * Reads the events of an input, JSON lines or one JSON array. Each chunk of input yields a group, so that events of a pipe are
 * sent as soon as they arrive.
 *
 * @throws UsageError names the line that is not an event
 */
export async function* readEvents(input: Input): AsyncGenerator<SentEvent[]> {
	const lines = new Lines(input.name)
	let array: string | null = null
	let begun = false
	for await (const part of readText(input)) {
		if (!begun && part.trimStart().startsWith('[')) array = ''
		begun ||= part.trim() !== ''
		if (array === null) yield lines.take(part)
		else array = append(array, part, input.name)
	}
	yield array === null ? lines.end() : parseArray(array, input.name)
}

/** Splits text into lines and parses each as an event. */
class Lines {
	readonly #name: string
	#number = 0
	#rest = ''

	constructor(name: string) {
		this.#name = name
	}

	/** Returns the events of the lines that this text completes. */
	take(text: string): SentEvent[] {
		const lines = (this.#rest + text).split('\n')
		this.#rest = lines.pop() ?? ''
		const events = lines.flatMap((line) => this.#event(line))
		if (this.#rest.length > MAX_LINE_CHARACTERS) {
			throw new UsageError(`${this.#name}, line ${this.#number + 1}, is longer than ${MAX_LINE_CHARACTERS} characters.`)
		}
		return events
	}

	/** Returns the event of a last line without a line break. */
	end(): SentEvent[] {
		return this.#event(this.#rest)
	}

	#event(line: string): SentEvent[] {
		this.#number += 1
		const place = `${this.#name}, line ${this.#number}`
		return line.trim() === '' ? [] : [toSent(parseJson(line, `${place},`), place)]
	}
}

function append(array: string, part: string, name: string): string {
	if (array.length + part.length <= MAX_ARRAY_CHARACTERS) return array + part
	throw new UsageError(`${name} is an array of more than ${MAX_ARRAY_CHARACTERS} characters; write one event per line instead.`)
}

function parseArray(text: string, name: string): SentEvent[] {
	const events = parseJson(text, name)
	return Array.isArray(events) ? events.map((event, at) => toSent(event, `${name}, event ${at + 1}`)) : []
}

function toSent(value: unknown, place: string): SentEvent {
	if (!isObject<EventInput>(value)) throw new UsageError(`${place}, is not an event. An event is an object such as ${EXAMPLE}.`)
	return { event: value, place }
}
