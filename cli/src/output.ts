import { once } from 'node:events'
import { styleText } from 'node:util'
import { EXIT } from './exit.js'
import type { Style } from './render.js'
import { toLines, wrap } from './text.js'

/** Writes a line to standard output, no faster than it is read. */
export async function writeLine(text: string): Promise<void> {
	if (!process.stdout.write(`${text}\n`)) await once(process.stdout, 'drain')
}

/** Writes a part of a document to standard output, no faster than it is read. */
export async function writeBytes(bytes: string | Uint8Array): Promise<void> {
	if (!process.stdout.write(bytes)) await once(process.stdout, 'drain')
}

/** Writes a message for people to standard error, wrapped between words in a terminal. */
export function note(text: string): void {
	const { isTTY, columns } = process.stderr
	const lines = toLines(text)
	process.stderr.write(`${(isTTY && columns > 0 ? lines.flatMap((line) => wrap(line, columns)) : lines).join('\n')}\n`)
}

/** Whether standard output is a terminal that can draw over its lines. */
export function canRedraw(): boolean {
	return process.stdout.isTTY && process.env.TERM !== 'dumb'
}

/** Styles text if standard output is a terminal with colours; NO_COLOR takes them away, FORCE_COLOR gives them to pipes, too. */
export function paint(style: Style, text: string): string {
	return styleText(style, text, { stream: process.stdout })
}

/** Ends the process quietly when the reader of its output is gone, such as `head`. */
export function exitWithReader(): void {
	for (const stream of [process.stdout, process.stderr]) {
		stream.on('error', (error: NodeJS.ErrnoException) => {
			if (error.code !== 'EPIPE') throw error
			process.exit(EXIT.done)
		})
	}
}
