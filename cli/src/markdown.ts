import stringWidth from 'string-width'
import type { Style } from './render.js'
import { splitAtColumns, toLines, wrap } from './text.js'

/** Settings for rendering text. */
export interface TextView {
	readonly width: number
	readonly paint: (style: Style, text: string) => string
}

/** Text in one style. */
type Span = readonly [text: string, style?: Style]

/** Longer lines are shown as they are: nobody writes such Markdown by hand, and patterns take long on it. */
const MAX_MARKED = 10_000

const FENCE = /^ {0,3}(`{3,}|~{3,})/
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/
const RULE = /^ {0,3}([-*_])( *\1){2,} *$/
const ITEM = /^( *)([-*+]|\d{1,9}[.)]) +(.*)$/
const QUOTE = /^ {0,3}> ?(.*)$/
const TABLE_ROW = /^ *\|.*\| *$/
const TABLE_RULE = /^ *\|[ :|-]+\| *$/

/**
 * Renders Markdown for a terminal: headings, lists, quotes, code, tables, emphasis and links, wrapped to a width. Foreign escape
 * sequences are removed; what is not understood is shown as it is written.
 */
export function renderMarkdown(text: string, view: TextView): string[] {
	const lines = toLines(text)
	const rendered: string[] = []
	for (let at = 0; at < lines.length; ) {
		const [block, next] = renderBlock(lines, at, view)
		rendered.push(...block)
		at = next
	}
	return trimEmpty(rendered)
}

/** Renders the block that starts at a line, and returns the line after it. */
function renderBlock(lines: readonly string[], at: number, view: TextView): [rendered: string[], next: number] {
	const line = lines[at] ?? ''
	if (line.length > MAX_MARKED) return [wrap(line, view.width), at + 1]
	const fence = FENCE.exec(line)?.[1]
	if (fence !== undefined) return renderCode(lines, at + 1, fence, view)
	if (line.trim() === '') return [[''], at + 1]
	const heading = HEADING.exec(line)
	if (heading !== null) return [wrapSpans([[heading[2] ?? '', 'bold']], '', '', view), at + 1]
	if (RULE.test(line)) return [[view.paint('dim', '─'.repeat(Math.min(view.width, 40)))], at + 1]
	if (TABLE_ROW.test(line)) return renderTable(lines, at, view)
	if (QUOTE.test(line)) return renderQuote(lines, at, view)
	const item = ITEM.exec(line)
	const end = findEnd(lines, at)
	const body = lines.slice(at, end).map((each) => each.trim())
	if (item === null) return [wrapSpans(parseInline(body.join(' ')), '', '', view), end]
	const [, indent = '', mark = '', first = ''] = item
	const start = `${indent}${/\d/.test(mark) ? mark : '•'} `
	return [wrapSpans(parseInline([first, ...body.slice(1)].join(' ')), start, ' '.repeat(start.length), view), end]
}

/** Finds the end of a paragraph: the next line that is empty or begins another block. */
function findEnd(lines: readonly string[], at: number): number {
	const rest = lines.slice(at + 1)
	const end = rest.findIndex(
		(line) => line.trim() === '' || [FENCE, HEADING, RULE, ITEM, QUOTE, TABLE_ROW].some((start) => start.test(line)),
	)
	return end < 0 ? lines.length : at + 1 + end
}

function renderCode(lines: readonly string[], from: number, fence: string, view: TextView): [string[], number] {
	const rest = lines.slice(from)
	const closing = rest.findIndex((line) => {
		const mark = line.trim()
		return mark.startsWith(fence) && mark === fence.charAt(0).repeat(mark.length)
	})
	const code = closing < 0 ? rest : rest.slice(0, closing)
	const columns = Math.max(1, view.width - 4)
	const rows = code.flatMap((line) => splitAtColumns(line, columns))
	return [rows.map((row) => (row === '' ? '' : `    ${view.paint('cyan', row)}`)), from + code.length + 1]
}

function renderQuote(lines: readonly string[], at: number, view: TextView): [string[], number] {
	const rest = lines.slice(at)
	const end = rest.findIndex((line) => !QUOTE.test(line))
	const quoted = (end < 0 ? rest : rest.slice(0, end)).map((line) => QUOTE.exec(line)?.[1] ?? '')
	const inner = renderMarkdown(quoted.join('\n'), { ...view, width: Math.max(1, view.width - 2) })
	return [inner.map((line) => `${view.paint('dim', '│')} ${line}`), at + quoted.length]
}

/** Renders a table with aligned columns, or its rows as they are when they do not fit. */
function renderTable(lines: readonly string[], at: number, view: TextView): [string[], number] {
	const rest = lines.slice(at)
	const end = rest.findIndex((line) => !TABLE_ROW.test(line))
	const source = end < 0 ? rest : rest.slice(0, end)
	const rows = source.filter((line) => !TABLE_RULE.test(line)).map((line) => splitRow(line).map((cell) => parseInline(cell)))
	const widths = rows.reduce<number[]>((known, row) => {
		return row.map((cell, column) => Math.max(known[column] ?? 0, measureSpans(cell)))
	}, [])
	const total = widths.reduce((sum, width) => sum + width + 2, -2)
	if (total > view.width) return [source.flatMap((line) => wrap(line.trim(), view.width)), at + source.length]
	const hasHead = TABLE_RULE.test(source[1] ?? '')
	const drawn = rows.map((row, index) => {
		const cells = row.map((cell, column) => {
			const spans: readonly Span[] = hasHead && index === 0 ? cell.map(([text]) => [text, 'bold'] as const) : cell
			return paintSpans(spans, view) + ' '.repeat((widths[column] ?? 0) - measureSpans(cell))
		})
		return cells.join('  ').trimEnd()
	})
	return [drawn, at + source.length]
}

function splitRow(line: string): string[] {
	return line
		.trim()
		.slice(1, -1)
		.split(/(?<!\\)\|/)
		.map((cell) => cell.trim())
}

/** Code, escapes, images and links, emphasis; the first that matches at a place counts. */
const INLINE = new RegExp(
	[
		/(?<ticks>`+)(?<code>.+?)(?<!`)\k<ticks>(?!`)/,
		/\\(?<escaped>[!-/:-@[-`{-~])/,
		/!?\[(?<label>[^[\]]*)\]\((?<target>[^()\s]*)(?: "[^"]*")?\)/,
		/<(?<address>https?:[^\s<>]+)>/,
		/(?<strong>\*\*|__)(?=\S)(?<bold>.+?)(?<=\S)\k<strong>/,
		/(?<![\w*])(?<light>[*_])(?=[^\s*_])(?<italic>[^*_]+?)(?<=\S)\k<light>(?![\w*])/,
		/&(?<entity>lt|gt|amp|quot);/,
	]
		.map(({ source }) => source)
		.join('|'),
	'g',
)
const ENTITIES: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"' }

function parseInline(text: string): Span[] {
	if (text.length > MAX_MARKED) return [[text]]
	const spans: Span[] = []
	let end = 0
	for (const match of text.matchAll(INLINE)) {
		spans.push([text.slice(end, match.index)], ...styleMatch(match.groups ?? {}))
		end = match.index + match[0].length
	}
	return [...spans, [text.slice(end)] as const].filter(([part]) => part !== '')
}

function styleMatch(groups: Record<string, string | undefined>): Span[] {
	const { code, escaped, label, target, address, bold, italic, entity } = groups
	if (code !== undefined) return [[code.replace(/^ (.+) $/, '$1'), 'cyan']]
	if (escaped !== undefined) return [[escaped]]
	if (target !== undefined) return label === target || target === '' ? [[label ?? '']] : [[label ?? ''], [` (${target})`, 'dim']]
	if (address !== undefined) return [[address, 'underline']]
	if (bold !== undefined) return parseInline(bold).map(([part]) => [part, 'bold'])
	if (italic !== undefined) return parseInline(italic).map(([part]) => [part, 'italic'])
	return [[ENTITIES[entity ?? ''] ?? '']]
}

function measureSpans(spans: readonly Span[]): number {
	return spans.reduce((sum, [text]) => sum + stringWidth(text), 0)
}

function paintSpans(spans: readonly Span[], { paint }: TextView): string {
	return spans.map(([text, style]) => (style === undefined ? text : paint(style, text))).join('')
}

/** Wraps styled text between words; the first line starts with one text, further lines with another of the same width. */
function wrapSpans(spans: readonly Span[], first: string, next: string, view: TextView): string[] {
	const columns = Math.max(1, view.width - next.length)
	const plain = spans.map(([text]) => text).join('')
	const rows = wrap(plain, columns)
	let from = 0
	return rows.map((row, index) => {
		const start = plain.indexOf(row, from)
		from = start + row.length
		return (index === 0 ? first : next) + paintSpans(sliceSpans(spans, start, from), view)
	})
}

/** Cuts the spans of the characters between two positions. */
function sliceSpans(spans: readonly Span[], start: number, end: number): Span[] {
	let at = 0
	return spans.flatMap(([text, style]): Span[] => {
		const part = text.slice(Math.max(0, start - at), Math.max(0, end - at))
		at += text.length
		return part === '' ? [] : [style === undefined ? [part] : [part, style]]
	})
}

/** Removes empty lines at both ends and all but one between others. */
function trimEmpty(lines: readonly string[]): string[] {
	const kept = lines.filter((line, at) => line !== '' || (at > 0 && lines[at - 1] !== ''))
	return kept.at(-1) === '' ? kept.slice(0, -1) : kept
}
