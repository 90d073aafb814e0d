/** One paragraph, list, table or code block of a document, with its place in the file. */
export interface Passage {
	/** Offset of the first byte in the file. */
	readonly start: number
	/** Offset after the last byte. */
	readonly end: number
	/** The nearest heading above, without its marks, at most 200 characters; '' before the first. */
	readonly heading: string
	/** Whether the passage is a fenced block of code: found by search, never quoted. */
	readonly code: boolean
	/** Exactly the bytes from `start` to `end`. */
	readonly text: string
}

/** Longer blocks are split, so that one search hit never covers a whole file. */
export const MAX_PASSAGE_CHARACTERS = 4096

const MAX_HEADING_CHARACTERS = 200
const HEADING = /^(?:#{1,6}|={1,6})[ \t]+(.+)$/
/** Fences in lists are indented. */
const FENCE = /^[ \t]*(?:`{3,}|~{3,})/
/** Settings above a document, as static sites have them: like code, they are no prose. */
const FRONT_MATTER = /^---[ \t]*\r?\n(?:.*\r?\n)*?---[ \t]*(?:\r?\n|$)/
const LINE = /[^\n]*\n|[^\n]+$/g

interface Block {
	start: number
	text: string
	readonly code: boolean
}

/**
 * Cuts a document into passages at blank lines, headings and code fences. Nothing is normalised: a passage has the exact text of
 * the file, and text outside of all passages is blank, a heading or a fence line.
 */
export function* splitPassages(text: string): Generator<Passage> {
	let heading = ''
	let offset = 0
	let fenced = false
	let block: Block | null = null
	const [front = ''] = FRONT_MATTER.exec(text) ?? []
	if (front !== '') {
		const code = front.slice(0, MAX_PASSAGE_CHARACTERS)
		yield* finish({ start: 0, text: code, code: true }, heading)
		offset = Buffer.byteLength(front)
	}
	for (const line of splitLines(text.slice(front.length))) {
		const content = line.trimEnd()
		const fence = FENCE.test(content)
		const title = fenced ? undefined : HEADING.exec(content)?.[1]?.trim()
		const cuts = fence || title !== undefined || (content === '' && !fenced)
		if (block !== null && (cuts || block.text.length + line.length > MAX_PASSAGE_CHARACTERS)) {
			yield* finish(block, heading)
			block = null
		}
		if (fence) fenced = !fenced
		if (title !== undefined) heading = [...title].slice(0, MAX_HEADING_CHARACTERS).join('')
		if (!cuts) {
			block ??= { start: offset, text: '', code: fenced }
			block.text += line
		}
		offset += Buffer.byteLength(line)
	}
	if (block !== null) yield* finish(block, heading)
}

/** Splits text into lines with their line breaks; a line longer than a passage is split further, after a space if possible. */
function* splitLines(text: string): Generator<string> {
	for (const [line] of text.matchAll(LINE)) {
		let rest = line
		while (rest.length > MAX_PASSAGE_CHARACTERS) {
			const cut = findCut(rest, MAX_PASSAGE_CHARACTERS)
			yield rest.slice(0, cut)
			rest = rest.slice(cut)
		}
		yield rest
	}
}

function findCut(line: string, limit: number): number {
	const space = line.lastIndexOf(' ', limit - 1)
	if (space > limit / 2) return space + 1
	const splitsPair = /[\uD800-\uDBFF]/.test(line.charAt(limit - 1))
	return splitsPair ? limit - 1 : limit
}

function* finish({ start, text, code }: Block, heading: string): Generator<Passage> {
	const body = text.trimEnd()
	if (body === '') return
	yield { start, end: start + Buffer.byteLength(body), heading, code, text: body }
}
