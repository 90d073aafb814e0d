import { createReadStream } from 'node:fs'
import { UsageError } from './failure.js'

/** A whole document read at once may be this large. */
const MAX_DOCUMENT_BYTES = 64 * 1024 * 1024

/** Where a command reads from. */
export interface Input {
	/** Begins the messages about it. */
	readonly name: string
	readonly bytes: AsyncIterable<Uint8Array>
}

/** A file, or standard input for `-`. */
export function openInput(path: string): Input {
	return path === '-' ? { name: 'Standard input', bytes: process.stdin } : { name: path, bytes: createReadStream(path) }
}

/**
 * The text of an input as it comes in.
 *
 * @throws UsageError when it cannot be read or is not UTF-8
 */
export async function* readText({ name, bytes }: Input): AsyncGenerator<string> {
	const decoder = new TextDecoder('utf-8', { fatal: true })
	try {
		for await (const chunk of bytes) yield decoder.decode(chunk, { stream: true })
		yield decoder.decode()
	} catch (error) {
		throw new UsageError(`${name} ${reason(error)}`, { cause: error })
	}
}

function reason(error: unknown): string {
	const code = error instanceof Error && 'code' in error ? error.code : undefined
	if (code === 'ENOENT') return 'does not exist. Give the path of a file, or - for standard input.'
	if (code === 'EISDIR') return 'is a directory. Give the path of a file, or - for standard input.'
	if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return 'is not UTF-8 text.'
	return `cannot be read: ${error instanceof Error ? error.message : String(error)}`
}

/**
 * A whole input as one JSON value.
 *
 * @throws UsageError when it is no JSON or larger than 64 MiB
 */
export async function readJson(input: Input): Promise<unknown> {
	let text = ''
	for await (const part of readText(input)) {
		text += part
		if (text.length > MAX_DOCUMENT_BYTES) throw new UsageError(`${input.name} is larger than ${MAX_DOCUMENT_BYTES} bytes.`)
	}
	return parseJson(text, input.name)
}

/** @param what - what the text is, to begin the message with */
export function parseJson(text: string, what: string): unknown {
	try {
		return JSON.parse(text)
	} catch (error) {
		throw new UsageError(`${what} is not JSON: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
	}
}

/** The server checks the rest and names the path of what is wrong. */
export function isObject<Expected extends object = Record<string, unknown>>(value: unknown): value is Expected {
	return typeof value === 'object' && value !== null && !Array.isArray(value)
}
