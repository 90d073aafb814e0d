import { readdirSync, readFileSync } from 'node:fs'
import { ERRORS, type ErrorRow, TRANSIENT_EVENT_TYPES } from '@planstream/shared'
import { archiveRoutes, contract, type ProcedureSpec, type StreamRoute, storedTypes } from '@planstream/shared/schemas'
import * as z from 'zod'
import { makeVerdictRows } from './docs-verdicts.js'
import { LIMITS, type Limit } from './docs-words.js'

/** Documents with generated tables. */
export const DOCUMENTS = ['PROTOCOL.md', 'docs/operating.md'] as const

/** The generated tables and sentences by the name in their marker. */
export type Tables = Readonly<Record<string, string>>

const MARKED = /(<!-- generated:(\w+) -->\n)[\s\S]*?(<!-- \/generated -->)/g

/** @param root - path of the repository, with a slash at its end */
export function makeTables(root: string): Tables {
	return {
		errors: makeErrorTable(root),
		events: makeEventTable(),
		transient: makeTransientSentence(),
		routes: makeRouteTable(),
		limits: makeLimitTable(root),
		verdicts: makeVerdictTable(),
		metrics: makeMetricTable(root),
	}
}

/**
 * Fills the generated tables into a document.
 *
 * @throws Error for a marker without a table
 */
export function fillDocument(text: string, tables: Tables): string {
	return text.replaceAll(MARKED, (_, begin: string, name: string, end: string) => {
		const table = tables[name]
		if (table === undefined) throw new Error(`Unknown table ${name}. Use one of ${Object.keys(tables).join(', ')}.`)
		return `${begin}\n${table}\n${end}`
	})
}

/** Makes the table of the codes that the server sends, which are those that its sources name. */
function makeErrorTable(root: string): string {
	const sources = listSources(`${root}server/src`).map((file) => readFileSync(file, 'utf8'))
	const sent = (code: string) => sources.some((source) => source.includes(`'${code}'`))
	const rows = Object.entries<ErrorRow>(ERRORS)
		.filter(([code]) => sent(code))
		.map(([code, { status, trpc, retryable, title }]) => [
			quote(code),
			String(status),
			quote(trpc),
			retryable ? 'yes' : 'no',
			title,
		])
	return formatTable(['code', 'HTTP', 'tRPC', 'try again', 'meaning'], rows)
}

/** Makes the table of metrics from their help texts in the source. */
function makeMetricTable(root: string): string {
	const [, source = ''] = readFileSync(`${root}server/src/ops/health.ts`, 'utf8').split('export const METRICS = {')
	const [list = ''] = source.split('} as const')
	const rows = [...list.matchAll(/^\t(\w+): '(.+)',$/gm)].map(([, name, help = '']) => [quote(`planstream_${name}`), help])
	return formatTable(['metric', 'what it counts'], rows)
}

function listSources(folder: string): string[] {
	return readdirSync(folder, { recursive: true, encoding: 'utf8' })
		.filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
		.map((name) => `${folder}/${name}`)
}

/** Makes the table of stored event types; live ones belong to a connection, not a plan. */
function makeEventTable(): string {
	const rows = storedTypes.map(({ event_type, step_id, meaning, data }) => {
		return [quote(event_type), nameOwner(step_id), meaning, listFields(data)]
	})
	return formatTable(['type', 'of', 'meaning', 'fields of `data`'], rows)
}

function makeTransientSentence(): string {
	const types = new Intl.ListFormat('en-GB').format([...TRANSIENT_EVENT_TYPES].map(quote))
	return `${types} say how things go and do not change the state that decisions depend on.\n`
}

function nameOwner(step_id: z.ZodType): string {
	if (!step_id.safeParse(null).success) return 'step'
	return step_id.safeParse('step_1').success ? 'plan or step' : 'plan'
}

/** Lists the fields of a producer; `?` marks the optional ones. */
function listFields(data: z.ZodType): string {
	const { properties = {}, required = [] } = z.toJSONSchema(data, { io: 'input', unrepresentable: 'any' })
	const fields = Object.entries(properties).map(([name, schema]) => {
		const words = typeof schema === 'object' ? (schema.enum ?? []) : []
		const choice = words.length === 0 ? '' : ` (${words.map((word) => String(word)).join(', ')})`
		return `${quote(required.includes(name) ? name : `${name}?`)}${choice}`
	})
	return fields.length === 0 ? 'any' : fields.join(', ')
}

function makeRouteTable(): string {
	const row = ({ rest, scope, summary }: StreamRoute, name: string) => [
		quote(`${rest.method} ${rest.path}`),
		name,
		quote(scope),
		String(rest.status),
		summary,
	]
	const rows = [
		...Object.entries<ProcedureSpec>(contract).map(([name, spec]) => row(spec, quote(name))),
		...Object.values<StreamRoute>(archiveRoutes).map((route) => row(route, '')),
	]
	return formatTable(['REST', 'tRPC and SDK', 'scope', 'status', 'what it does'], rows)
}

function makeVerdictTable(): string {
	return formatTable(['given position', 'on every stream', 'history page'], makeVerdictRows())
}

function makeLimitTable(root: string): string {
	return formatTable(
		['what', 'limit', 'beyond it'],
		LIMITS.map((limit) => [limit.what, formatValue(limit, readConstant(root, limit)), limit.beyond]),
	)
}

/** Reads the value of a constant from its file: an integer, or a product of integers. */
function readConstant(root: string, { file, name }: Limit): number {
	const source = readFileSync(`${root}${file}`, 'utf8')
	const [, product] = new RegExp(`\\b${name}(?:: number)?\\s*[=:]\\s*([0-9_]+(?:\\s*\\*\\s*[0-9_]+)*)`).exec(source) ?? []
	if (product === undefined) throw new Error(`${file} has no number ${name}. Correct scripts/docs-words.ts.`)
	return product.split('*').reduce((value, factor) => value * Number(factor.replaceAll('_', '').trim()), 1)
}

function formatValue({ unit }: Limit, value: number): string {
	if (unit === 'bytes') return value % 2 ** 20 === 0 ? `${value / 2 ** 20} MiB` : `${value / 1024} KiB`
	if (unit === 'ms') return `${value / 1000} s`
	return `${value.toLocaleString('en')} ${unit}`.trim()
}

function quote(text: string): string {
	return `\`${text}\``
}

function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
	const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`
	return [line(head), `|${head.map(() => '---|').join('')}\n`, ...rows.map(line)].join('')
}
