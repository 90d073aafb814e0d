import { PlanstreamError } from '@planstream/shared'
import * as z from 'zod'

/** How the text of a query parameter becomes a value: a comma may separate words of a closed list, and is itself elsewhere. */
type Shape = 'text' | 'number' | 'boolean' | 'words' | 'texts'
export type QueryParameters = ReadonlyMap<string, Shape>

/**
 * The query parameters that stand for the fields of an input.
 *
 * @param elsewhere - fields that are taken from another place, such as the path
 */
export function queryParameters(input: z.ZodType, elsewhere: readonly string[]): QueryParameters {
	const { properties = {} } = z.toJSONSchema(input, { io: 'input', unrepresentable: 'any' })
	const fields = Object.entries(properties).filter(([name]) => !elsewhere.includes(name))
	return new Map(fields.map(([name, schema]) => [name, typeof schema === 'boolean' ? 'text' : shapeOf(schema)]))
}

function shapeOf(schema: z.core.JSONSchema.BaseSchema): Shape {
	if (schema.type === 'integer' || schema.type === 'number') return 'number'
	if (schema.type === 'boolean') return 'boolean'
	if (schema.type !== 'array') return 'text'
	const { items } = schema
	return typeof items === 'object' && !Array.isArray(items) && items.enum !== undefined ? 'words' : 'texts'
}

/**
 * Reads a query string. What a text does not fit is left as it is, for the schema to refuse by its name.
 *
 * @throws PlanstreamError `bad_request` for a parameter that is not known, or given twice where one value is expected
 */
export function readQuery(search: string, parameters: QueryParameters): Record<string, unknown> {
	const values = new Map<string, unknown>()
	for (const [name, text] of new URLSearchParams(search)) {
		const shape = parameters.get(name)
		if (shape === undefined) throw unknownParameter(name, parameters)
		const before = values.get(name)
		if (Array.isArray(before)) before.push(...listOf(text, shape))
		else if (before === undefined)
			values.set(name, shape === 'words' || shape === 'texts' ? listOf(text, shape) : fieldValue(text, shape))
		else throw new PlanstreamError('bad_request', `The query gives ${name} twice. Give it once.`, { path: name })
	}
	return Object.fromEntries(values)
}

function listOf(text: string, shape: Shape): string[] {
	return shape === 'words' ? text.split(',') : [text]
}

function fieldValue(text: string, shape: Shape): unknown {
	if (shape === 'boolean' && (text === 'true' || text === 'false')) return text === 'true'
	return shape === 'number' && /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
}

function unknownParameter(name: string, parameters: QueryParameters): PlanstreamError {
	const allowed = [...parameters.keys()]
	const taken = allowed.length === 0 ? 'This address takes none' : `This address takes ${allowed.join(', ')}`
	return new PlanstreamError('bad_request', `The query has a parameter "${name.slice(0, 80)}". ${taken}.`, {
		path: name,
		allowed,
	})
}
