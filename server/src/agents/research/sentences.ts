/** A piece of a passage that can be quoted, with its place in the same file. */
export interface Sentence {
	readonly start: number
	readonly end: number
	/** Exactly the bytes from `start` to `end`. */
	readonly text: string
}

/** Shorter pieces say nothing by themselves. */
const MIN_CHARACTERS = 24
/** Longer ones are no sentence a report can show. */
const MAX_CHARACTERS = 700

/** A line that begins a list item, a table row or a quotation is not the continuation of the line before it. */
const OWN_LINE = /\r?\n(?=[ \t]*(?:[-*+•|>]|\d{1,3}[.)])[ \t])/g
const BREAK = /[\r\n]/g
/** White space, the mark of a list item, the end of what was bold before: not part of what is quoted. */
const LEADING = /^(?:\s|[-*+•>](?=\s)|\*\*(?=\s)|\d{1,3}[.)](?=\s))+/u

const segmenter = new Intl.Segmenter('en', { granularity: 'sentence' })

/**
 * The sentences of a passage by Unicode's rules (UAX 29), with lines that were wrapped joined for the decision alone:
 * each sentence's text is what the file says, line breaks included.
 *
 * @param passage - text with the byte offset of its first character
 */
export function* splitSentences(passage: { readonly text: string; readonly start: number }): Generator<Sentence> {
	let offset = passage.start
	for (const item of splitItems(passage.text)) {
		const joined = item.replace(BREAK, ' ')
		for (const { segment, index } of segmenter.segment(joined)) {
			const piece = item.slice(index, index + segment.length)
			const lead = LEADING.exec(piece)?.[0] ?? ''
			const text = piece.slice(lead.length).trimEnd()
			const start = offset + Buffer.byteLength(lead)
			if (text.length >= MIN_CHARACTERS && text.length <= MAX_CHARACTERS) {
				yield { start, end: start + Buffer.byteLength(text), text }
			}
			offset += Buffer.byteLength(piece)
		}
	}
}

function splitItems(text: string): string[] {
	const items: string[] = []
	let from = 0
	for (const { index } of text.matchAll(OWN_LINE)) {
		items.push(text.slice(from, index))
		from = index
	}
	items.push(text.slice(from))
	return items
}
