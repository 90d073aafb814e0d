import { once } from 'node:events'
import { styleText } from 'node:util'
import { EXIT } from './exit.js'
import type { Style } from './render.js'

/** Writes to standard output what a program may read, a line at a time, no faster than it is taken. */
export async function writeLine(text: string): Promise<void> {
	if (!process.stdout.write(`${text}\n`)) await once(process.stdout, 'drain')
}

/** Writes a piece of a document to standard output, no faster than it is taken. */
export async function writeBytes(bytes: string | Uint8Array): Promise<void> {
	if (!process.stdout.write(bytes)) await once(process.stdout, 'drain')
}

/** Writes to standard error what only a person reads. */
export function note(text: string): void {
	process.stderr.write(`${text}\n`)
}

/** Whether a program reads what is written: asked for, or not a terminal. */
export function wantsJson(asked: boolean): boolean {
	return asked || !process.stdout.isTTY
}

/** Colours, unless the terminal or NO_COLOR forbids them. */
export function paint(style: Style, text: string): string {
	return styleText(style, text, { stream: process.stdout })
}

/** Ends the process quietly when whoever reads our output has gone, as `head` does. */
export function endWithReader(): void {
	process.stdout.on('error', (error: NodeJS.ErrnoException) => {
		if (error.code !== 'EPIPE') throw error
		process.exit(EXIT.done)
	})
}
