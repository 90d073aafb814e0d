import type { Row } from './rows.js'
import type { Spread } from './statistics.js'

export interface Column {
	readonly title: string
	readonly cell: (row: Row) => string
}

export const GROUP: Column = { title: 'group', cell: ({ of }) => of.group }
export const SUBJECT: Column = { title: 'subject', cell: ({ of }) => of.subject }

/** Formats a table: words aligned left, figures right. */
export function formatTable(columns: readonly Column[], rows: readonly Row[]): string {
	const cells = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ cell }) => cell(row)))]
	const widths = columns.map((_, index) => Math.max(...cells.map((line) => line[index]?.length ?? 0)))
	const lines = cells.map((line) => line.map((text, index) => alignCell(text, widths[index] ?? 0, columns[index])).join('  '))
	const rule = widths.map((width) => '-'.repeat(width)).join('  ')
	return [...lines.slice(0, 1), rule, ...lines.slice(1)].map((line) => line.trimEnd()).join('\n')
}

function alignCell(text: string, width: number, column: Column | undefined): string {
	return column === GROUP || column === SUBJECT ? text.padEnd(width) : text.padStart(width)
}

/** Shows the median with the range; a dash if absent. */
export function showSpread(spread: Spread | null, show: (value: number) => string): string {
	if (spread === null) return '-'
	const { median, min, max } = spread
	return min === max ? show(median) : `${show(median)} (${show(min)}..${show(max)})`
}

/** Shows a value with three significant digits. */
export function short(value: number): string {
	if (value >= 1e6) return `${(value / 1e6).toPrecision(3)}M`
	if (value >= 1e4) return `${Math.round(value / 1e3)}k`
	if (value >= 1e3) return `${(value / 1e3).toFixed(1)}k`
	return value >= 100 ? value.toFixed(0) : value.toPrecision(value >= 10 ? 3 : 2)
}

export function percent(value: number): string {
	return `${Math.round(value * 100)}%`
}

export function times(value: number): string {
	return `${value.toFixed(2)}x`
}
