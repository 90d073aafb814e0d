import { stripVTControlCharacters } from 'node:util'
import stringWidth from 'string-width'

const graphemes = new Intl.Segmenter()

/** Characters that reorder the text around them. */
const BIDI_CONTROLS = /[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g
const TAB = '    '

/**
 * Turns foreign text into one line that cannot control the terminal: removes escape sequences, and turns other control characters
 * and white space into single spaces.
 */
export function toOneLine(text: string): string {
	return stripVTControlCharacters(text)
		.replace(/[\s\p{Cc}\p{Zl}\p{Zp}\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu, ' ')
		.trim()
}

/**
 * Splits foreign text into lines that cannot control the terminal. Spaces are kept and tabs become four; of a line that was drawn
 * over with carriage returns, the last version counts.
 */
export function toLines(text: string): string[] {
	return stripVTControlCharacters(text)
		.replace(BIDI_CONTROLS, '')
		.split(/\r*\n|[\p{Zl}\p{Zp}\u0085]/u)
		.map((line) => {
			const drawn = line.replace(/\r+$/, '')
			return drawn
				.slice(drawn.lastIndexOf('\r') + 1)
				.replaceAll('\t', TAB)
				.replace(/\p{Cc}/gu, '')
				.trimEnd()
		})
}

/** Cuts text to a number of terminal columns; a cut shows as `…`. */
export function clip(text: string, columns: number): string {
	if (stringWidth(text) <= columns) return text
	let kept = ''
	let width = 0
	for (const { segment } of graphemes.segment(text)) {
		width += stringWidth(segment)
		if (width > columns - 1) break
		kept += segment
	}
	return columns < 1 ? '' : `${kept}…`
}

/** Cuts or pads text to a number of columns. */
export function fitColumns(text: string, columns: number): string {
	const clipped = clip(text, columns)
	return clipped + ' '.repeat(Math.max(0, columns - stringWidth(clipped)))
}

/** Wraps a line at a number of columns, between words if possible; its indentation and the spaces between words are kept. */
export function wrap(text: string, columns: number): string[] {
	const lines: string[] = []
	let line = ''
	let width = 0
	for (const [, space = '', word = ''] of text.matchAll(/( *)([^ ]+)/g)) {
		const added = stringWidth(word)
		if (width + space.length + added <= columns) {
			line += space + word
			width += space.length + added
			continue
		}
		if (line !== '') lines.push(line)
		const parts = splitAtColumns(word, columns)
		line = parts.pop() ?? ''
		lines.push(...parts)
		width = stringWidth(line)
	}
	return [...lines, line]
}

/** Splits text into pieces that fit into a number of columns, at any character. */
export function splitAtColumns(text: string, columns: number): string[] {
	if (stringWidth(text) <= columns) return [text]
	const parts: string[] = []
	let part = ''
	let width = 0
	for (const { segment } of graphemes.segment(text)) {
		const added = stringWidth(segment)
		if (part !== '' && width + added > columns) {
			parts.push(part)
			part = ''
			width = 0
		}
		part += segment
		width += added
	}
	return [...parts, part]
}

/** Formats a duration for people: `12 ms`, `0.4 s`, `42 s`, `3 min 05 s`, `1 h 02 min`. */
export function formatDuration(ms: number): string {
	if (ms < 100) return `${Math.max(0, Math.round(ms))} ms`
	if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`
	const seconds = Math.round(ms / 1000)
	if (seconds < 60) return `${seconds} s`
	const minutes = Math.floor(seconds / 60)
	if (minutes < 60) return `${minutes} min ${String(seconds % 60).padStart(2, '0')} s`
	return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`
}

/** Formats a size for people: `999 B`, `1.5 KiB`, `20 MiB`. */
export function formatBytes(bytes: number): string {
	const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
	let size = bytes
	let unit = 0
	while (size >= 1024 && unit < units.length - 1) {
		size /= 1024
		unit += 1
	}
	return `${unit === 0 || size >= 10 ? Math.round(size) : size.toFixed(1)} ${units[unit]}`
}
