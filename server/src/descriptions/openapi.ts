import { ERRORS } from '@planstream/shared'
import {
	ContractError,
	findTypes,
	groupProcedures,
	type JsonSchema,
	makeDefinitions,
	type ProcedureSpec,
	type ProcedureTypes,
} from '@planstream/shared/schemas'
import { otherPaths, type Part } from './other-paths.js'

type Contract = Readonly<Record<string, ProcedureSpec>>

const SCHEMAS = '#/components/schemas/'

/** Every request the server answers, as an OpenAPI 3.1 document. */
export function describeRequests(contract: Contract, version: string): Part {
	const schemas = makeDefinitions(SCHEMAS)
	const groups = groupProcedures(contract)
	const paths = new Map<string, Record<string, Part>>()
	for (const [group, rows] of groups) {
		for (const [name, spec] of rows) {
			const { method, path } = spec.rest
			const operation = describeOperation(group, name, spec, schemas)
			paths.set(path, { ...paths.get(path), [method.toLowerCase()]: operation })
		}
	}
	return {
		openapi: '3.1.0',
		info: {
			title: 'Planstream',
			version,
			summary: 'Runs plans with your agents and streams every event of every plan to everyone who watches.',
			license: { name: 'MIT', identifier: 'MIT' },
		},
		tags: [...groups.keys(), 'server'].map((name) => ({ name })),
		security: [{ key: [] }, {}],
		paths: { ...Object.fromEntries(paths), ...otherPaths },
		components: {
			securitySchemes: {
				key: { type: 'http', scheme: 'bearer', description: 'An API key. A server without keys answers on loopback only.' },
			},
			responses: { Problem: problemResponse },
			schemas: { ...schemas, Problem: problem },
		},
	}
}

function describeOperation(
	group: string,
	name: string,
	spec: ProcedureSpec,
	schemas: Readonly<Record<string, JsonSchema>>,
): Part {
	const inPath = [...spec.rest.path.matchAll(/\{(\w+)\}/g)].map(([, field = '']) => field)
	const types = findTypes(name, spec)
	const input = (types.input === null ? undefined : schemas[types.input]) ?? {}
	const strange = inPath.find((field) => input.properties?.[field] === undefined)
	if (strange !== undefined)
		throw new ContractError(
			`The path of ${name} in shared/src/contract.ts names {${strange}}, which its input lacks. Add the field there or correct the path.`,
		)
	const hasBody = spec.rest.method === 'POST'
	return {
		operationId: name.replace('.', '_'),
		tags: [group],
		summary: spec.summary,
		security: [{ key: [spec.scope] }, {}],
		parameters: [
			...inPath.map((field) => ({ name: field, in: 'path', required: true, schema: readField(input, field) })),
			...(hasBody ? [] : describeQuery(input, inPath)),
			...(types.resumes ? LAST_EVENT_ID : []),
			...(spec.kind === 'subscription' ? [CLOSE_AFTER] : []),
		],
		...(hasBody ? { requestBody: describeBody(input, inPath) } : {}),
		responses: { ...describeAnswers(spec, types), default: { $ref: '#/components/responses/Problem' } },
	}
}

const CLOSE_AFTER = {
	name: 'close_after_ms',
	in: 'query',
	schema: { type: 'integer', minimum: 0, maximum: 60_000 },
	description: 'Ends the response after so long, for networks that pass it on only when it ends.',
}

const LAST_EVENT_ID = [
	{
		name: 'last_event_id',
		in: 'query',
		schema: { type: 'string' },
		description: 'The cursor of the last event seen, for clients that cannot set the header; wins over `after`.',
	},
	{
		name: 'lastEventId',
		in: 'query',
		schema: { type: 'string' },
		description: 'The same, as polyfills of EventSource send it; wins over `last_event_id` and `after`.',
	},
	{
		name: 'Last-Event-ID',
		in: 'header',
		schema: { type: 'string' },
		description: 'The cursor of the last event seen, as an EventSource sends it; wins over the parameters.',
	},
]

function readField({ properties = {} }: JsonSchema, name: string): unknown {
	const { description: _, ...schema } = properties[name] as JsonSchema
	return schema
}

function describeQuery(input: JsonSchema, inPath: readonly string[]): Part[] {
	return Object.entries(input.properties ?? {})
		.filter(([name]) => !inPath.includes(name))
		.map(([name, schema]) => ({
			name,
			in: 'query',
			required: (input.required ?? []).includes(name),
			schema: readField(input, name),
			...(typeof schema === 'object' && schema.description !== undefined ? { description: schema.description } : {}),
		}))
}

function describeBody(input: JsonSchema, inPath: readonly string[]): Part {
	const fields = Object.entries(input.properties ?? {}).filter(([name]) => !inPath.includes(name))
	const required = (input.required ?? []).filter((name) => !inPath.includes(name))
	const schema = { type: 'object', properties: Object.fromEntries(fields), required, additionalProperties: false }
	return { required: required.length > 0, content: { 'application/json': { schema } } }
}

function describeAnswers(spec: ProcedureSpec, { output, resumes }: ProcedureTypes): Record<string, Part> {
	if (spec.kind !== 'subscription') {
		const schema = { $ref: `${SCHEMAS}${output}` }
		return { [spec.rest.status]: { description: spec.summary, content: { 'application/json': { schema } } } }
	}
	const description = `${spec.summary} What its events hold stands in /asyncapi.json.`
	const stream = { description, content: { 'text/event-stream': { schema: { type: 'string' } } } }
	return resumes ? { 200: stream, 204: { description: FINISHED } } : { 200: stream }
}

const FINISHED = 'The plan is done and the cursor is at its end: there is nothing more, do not come back.'

/** The body of every failed answer (RFC 9457); the facts of an error stand beside these fields. */
const problem = {
	type: 'object',
	description: 'Why a request was refused: problem+json with a code of the closed table, and its facts as further fields.',
	properties: {
		type: { type: 'string', description: 'urn:planstream:CODE' },
		title: { type: 'string' },
		status: { type: 'integer' },
		detail: { type: 'string', description: 'what happened, what was expected and what to do' },
		code: { enum: Object.keys(ERRORS) },
	},
	required: ['type', 'title', 'status', 'detail', 'code'],
	additionalProperties: true,
}

const problemResponse = {
	description: 'The request was refused.',
	content: { 'application/problem+json': { schema: { $ref: `${SCHEMAS}Problem` } } },
}
