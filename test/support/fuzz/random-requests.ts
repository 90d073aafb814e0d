import type { ProcedureName, ProcedureSpec } from '@planstream/shared/schemas'
import { PROCEDURES } from './examples.js'
import { mutateBytes, mutateJson, mutateText, pick, type Random } from './mutate.js'

/** A request over HTTP. */
export interface FuzzRequest {
	readonly method: string
	readonly path: string
	readonly headers: Readonly<Record<string, string>>
	readonly body: Buffer | null
}

type Row = readonly [ProcedureName, ProcedureSpec]
/** Generates an input of a procedure. */
type Example = (name: ProcedureName) => Record<string, unknown>

const JSON_TYPE = { 'content-type': 'application/json' }
const STREAMS = PROCEDURES.filter(([, { kind }]) => kind === 'subscription')
const QUERIES = PROCEDURES.filter(([, { kind }]) => kind === 'query')
const CALLS = PROCEDURES.filter(([, { kind }]) => kind !== 'subscription')

/** Encodes a text for an address, where lone surrogates are not allowed. */
function encoded(value: unknown): string {
	return encodeURIComponent(asJson(value).replaceAll(/\p{Surrogate}/gu, ''))
}

function asJson(value: unknown): string {
	return typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
}

/** Builds the REST request of a procedure: fields in the path, the others in the query or the body. */
function overRest([, { rest }]: Row, input: unknown): FuzzRequest {
	const given = new Map(Object.entries(Object(input) as object))
	const path = rest.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
		const value: unknown = given.get(name) ?? 'x'
		given.delete(name)
		return encoded(value)
	})
	if (rest.method === 'POST')
		return { method: 'POST', path, headers: JSON_TYPE, body: Buffer.from(asJson(Object.fromEntries(given))) }
	const query = [...given].map(([name, value]) => `${encoded(name)}=${encoded(Array.isArray(value) ? value.join() : value)}`)
	return { method: rest.method, path: `${path}?${query.join('&')}`, headers: {}, body: null }
}

/** Builds the tRPC request of a procedure over HTTP. */
function overTrpc([name, { kind }]: Row, input: unknown): FuzzRequest {
	if (kind === 'mutation') return { method: 'POST', path: `/trpc/${name}`, headers: JSON_TYPE, body: Buffer.from(asJson(input)) }
	return { method: 'GET', path: `/trpc/${name}?input=${encoded(input)}`, headers: {}, body: null }
}

/** Builds one batch request of several procedures of one kind. */
function overBatch(rows: readonly Row[], inputs: unknown): FuzzRequest {
	const [path, mutation] = [`/trpc/${rows.map(([name]) => name).join()}?batch=1`, rows[0]?.[1].kind === 'mutation']
	if (mutation) return { method: 'POST', path, headers: JSON_TYPE, body: Buffer.from(asJson(inputs)) }
	return { method: 'GET', path: `${path}&input=${encoded(inputs)}`, headers: {}, body: null }
}

/** Changes the input, the bytes of the body, the address, the method or a header. */
function changed(random: Random, build: (input: unknown) => FuzzRequest, input: Record<string, unknown>): FuzzRequest {
	const part = random()
	if (part < 0.5) return build(mutateJson(random, input))
	const question = build(input)
	if (part < 0.7 && question.body !== null) return { ...question, body: mutateBytes(random, question.body) }
	if (part < 0.85) return { ...question, path: `/${mutateText(random, question.path.slice(1))}` }
	if (part < 0.9) return { ...question, method: pick(random, METHODS) }
	return {
		...question,
		headers: { ...question.headers, [pick(random, HEADERS)]: mutateText(random, pick(random, HEADER_TEXTS)) },
	}
}

const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND']
/** Headers that intermediaries read; headers that frame the message are changed as raw bytes. */
const HEADERS = [
	...[
		'content-type',
		'content-encoding',
		'accept',
		'accept-encoding',
		'authorization',
		'origin',
		'referer',
		'forwarded',
		'cookie',
	],
	...['x-forwarded-for', 'x-forwarded-host', 'last-event-id', 'trpc-accept', 'range', 'if-none-match', 'x-http-method-override'],
]
const HEADER_TEXTS = [
	...[
		'application/json',
		'application/jsonl',
		'text/event-stream',
		'gzip',
		'Bearer ps_x',
		'http://localhost',
		'https://example.com',
	],
	...['for=1.2.3.4', '1', 'aGVsbG8.2.0123456789abcdef', 'bytes=0-1', 'multipart/form-data; boundary=x', 'null', 'DELETE'],
]

/** Builds one random request with a change in it, by protocol. */
export const RANDOM_REQUESTS = {
	rest: (random, example) => {
		const row = pick(random, CALLS)
		return changed(random, (input) => overRest(row, input), example(row[0]))
	},
	trpc: (random, example) => {
		const row = pick(random, CALLS)
		return changed(random, (input) => overTrpc(row, input), example(row[0]))
	},
	batch: (random, example) => {
		const rows = random() < 0.5 ? [pick(random, QUERIES), pick(random, QUERIES)] : [pick(random, CALLS), pick(random, CALLS)]
		const inputs = Object.fromEntries(rows.map(([name], index) => [index, example(name)]))
		return changed(random, (input) => overBatch(rows, input), inputs)
	},
	sse: (random, example) => {
		const row = pick(random, STREAMS)
		return changed(random, (input) => overRest(row, input), example(row[0]))
	},
	'trpc-sse': (random, example) => {
		const row = pick(random, STREAMS)
		return changed(random, (input) => overTrpc(row, input), example(row[0]))
	},
} as const satisfies Record<string, (random: Random, example: Example) => FuzzRequest>
