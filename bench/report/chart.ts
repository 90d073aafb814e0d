import { cpuUsEach, figures, type Row } from './rows.js'
import { short } from './table.js'

const WIDTH = 720
const LABEL = 190
const BAR = 18
const GAP = 6
const HEAD = 44
const GROUP_HEAD = 26
const FOOT = 34
const VALUE = 60
const COLOURS = { floor: '#8a94a3', product: '#2f7dd1', peer: '#c8783c' } as const

/**
 * Draws the server CPU per delivery as bars on a logarithmic scale, one group below the other.
 *
 * @param note - the origin of the figures, in one line
 */
export function drawChart(title: string, rows: readonly Row[], note: string): string {
	const groups = [...new Set(rows.map(({ of }) => of.group))].map((group) => rows.filter(({ of }) => of.group === group))
	const values = rows.map((row) => figures(row, cpuUsEach).median)
	const scale = createLogScale(Math.min(...values), Math.max(...values), WIDTH - LABEL - VALUE)
	let y = HEAD
	const parts = groups.flatMap((group) => {
		const head = drawText(8, y + 16, group[0]?.of.group ?? '', 'font-weight="600"')
		y += GROUP_HEAD
		const bars = group.map((row) => {
			const part = drawBar(row, y, scale)
			y += BAR + GAP
			return part
		})
		return [head, ...bars]
	})
	const height = y + FOOT
	return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13" role="img">
<title>${escapeXml(title)}</title>
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
${drawText(8, 24, title, 'font-size="15" font-weight="600"')}
${parts.join('\n')}
${drawText(8, height - 12, note, 'fill="#5c6673" font-size="11"')}
</svg>
`
}

function createLogScale(least: number, most: number, width: number): (value: number) => number {
	const from = Math.log10(least / 2)
	const span = Math.max(Math.log10(most) - from, Number.EPSILON)
	return (value) => ((Math.log10(value) - from) / span) * width
}

function drawBar(row: Row, y: number, scale: (value: number) => number): string {
	const value = figures(row, cpuUsEach).median
	const length = scale(value).toFixed(1)
	const rect = `<rect x="${LABEL}" y="${y}" width="${length}" height="${BAR}" fill="${COLOURS[row.of.role]}"/>`
	const label = drawText(LABEL - 8, y + 14, row.of.subject, 'text-anchor="end"')
	return `${label}${rect}${drawText(LABEL + Number(length) + 6, y + 14, short(value), '')}`
}

function drawText(x: number, y: number, content: string, attributes: string): string {
	return `<text x="${x}" y="${y}" ${attributes}>${escapeXml(content)}</text>`
}

function escapeXml(content: string): string {
	return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
