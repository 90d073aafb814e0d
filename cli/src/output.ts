import { once } from 'node:events'
import { styleText } from 'node:util'
import { EXIT } from './exit.js'
import type { Style } from './render.js'

/** Writes a line to standard output, no faster than it is read. */
export async function writeLine(text: string): Promise<void> {
	if (!process.stdout.write(`${text}\n`)) await once(process.stdout, 'drain')
}

/** Writes a part of a document to standard output, no faster than it is read. */
export async function writeBytes(bytes: string | Uint8Array): Promise<void> {
	if (!process.stdout.write(bytes)) await once(process.stdout, 'drain')
}

/** Writes a message for people to standard error. */
export function note(text: string): void {
	process.stderr.write(`${text}\n`)
}

/** Whether to write JSON: on request, or when standard output is not a terminal. */
export function wantsJson(asked: boolean): boolean {
	return asked || !process.stdout.isTTY
}

/** Styles text, unless the terminal or NO_COLOR forbids it. */
export function paint(style: Style, text: string): string {
	return styleText(style, text, { stream: process.stdout })
}

/** Ends the process quietly when the reader of its output is gone, such as `head`. */
export function exitWithReader(): void {
	process.stdout.on('error', (error: NodeJS.ErrnoException) => {
		if (error.code !== 'EPIPE') throw error
		process.exit(EXIT.done)
	})
}
