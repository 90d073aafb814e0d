import { stripVTControlCharacters } from 'node:util'
import stringWidth from 'string-width'

const graphemes = new Intl.Segmenter()

/**
 * Turns foreign text into one line that cannot control the terminal: removes escape sequences, and turns other control characters
 * and white space into single spaces.
 */
export function toOneLine(text: string): string {
	return stripVTControlCharacters(text)
		.replace(/[\s\p{Cc}\p{Zl}\p{Zp}\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu, ' ')
		.trim()
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
	return clipped + ' '.repeat(columns - stringWidth(clipped))
}

/** Wraps text at a number of columns, between words if possible. */
export function wrap(text: string, columns: number): string[] {
	const lines: string[] = []
	let line = ''
	for (const word of text.split(/ +/).flatMap((word) => splitWord(word, columns))) {
		const longer = line === '' ? word : `${line} ${word}`
		if (stringWidth(longer) > columns && line !== '') {
			lines.push(line)
			line = word
		} else {
			line = longer
		}
	}
	return [...lines, line]
}

/** Splits a word into pieces that fit. */
function splitWord(word: string, columns: number): string[] {
	if (stringWidth(word) <= columns) return [word]
	const parts = ['']
	for (const { segment } of graphemes.segment(word)) {
		const last = parts.at(-1) ?? ''
		if (last !== '' && stringWidth(last + segment) > columns) parts.push(segment)
		else parts[parts.length - 1] = last + segment
	}
	return parts
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
