import { PlanstreamError } from '@planstream/shared'
import { contract, type ProcedureName, type ProcedureSpec } from '@planstream/shared/schemas'
import { callTRPCProcedure } from '@trpc/server'
import { Hono, type Context as HonoContext } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import * as z from 'zod'
import { parseObject } from './input.js'
import { assertAllowed, type Context } from './procedure.js'
import type { RequestBody } from './request-body.js'
import type { AppRouter } from './router.js'

/** How the text of a query parameter becomes a value. Only `words`, values of a closed list, are split at commas. */
type Shape = 'text' | 'number' | 'boolean' | 'words' | 'texts'
export type QueryParameters = ReadonlyMap<string, Shape>

/**
 * Lists the query parameters of an input.
 *
 * @param elsewhere - fields that come from elsewhere, such as the path
 */
export function listQueryParameters(input: z.ZodType, elsewhere: readonly string[]): QueryParameters {
	const { properties = {} } = z.toJSONSchema(input, { io: 'input', unrepresentable: 'any' })
	const fields = Object.entries(properties).filter(([name]) => !elsewhere.includes(name))
	return new Map(fields.map(([name, schema]) => [name, typeof schema === 'boolean' ? 'text' : getShape(schema)]))
}

function getShape(schema: z.core.JSONSchema.BaseSchema): Shape {
	if (schema.type === 'integer' || schema.type === 'number') return 'number'
	if (schema.type === 'boolean') return 'boolean'
	if (schema.type !== 'array') return 'text'
	const { items } = schema
	return typeof items === 'object' && !Array.isArray(items) && items.enum !== undefined ? 'words' : 'texts'
}

/**
 * Reads a query string. A text that does not fit its type is left as it is, so that the schema refuses it by name.
 *
 * @throws PlanstreamError `bad_request` for an unknown parameter, or a repeated one that takes one value
 */
export function readQuery(search: string, parameters: QueryParameters): Record<string, unknown> {
	const values = new Map<string, unknown>()
	for (const [name, text] of new URLSearchParams(search)) {
		const shape = parameters.get(name)
		if (shape === undefined) throw unknownParameter(name, parameters)
		const before = values.get(name)
		if (Array.isArray(before)) before.push(...splitWords(text, shape))
		else if (before === undefined)
			values.set(name, shape === 'words' || shape === 'texts' ? splitWords(text, shape) : parseField(text, shape))
		else throw new PlanstreamError('bad_request', `The query gives ${name} twice. Give it once.`, { path: name })
	}
	return Object.fromEntries(values)
}

function splitWords(text: string, shape: Shape): string[] {
	if (shape !== 'words') return [text]
	return text === '' ? [] : text.split(',') // the schema refuses an empty list
}

function parseField(text: string, shape: Shape): unknown {
	if (shape === 'boolean' && (text === 'true' || text === 'false')) return text === 'true'
	return shape === 'number' && /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
}

function unknownParameter(name: string, parameters: QueryParameters): PlanstreamError {
	const allowed = [...parameters.keys()]
	const taken = allowed.length === 0 ? 'This address takes none' : `This address takes ${allowed.join(', ')}`
	return new PlanstreamError('bad_request', `Unknown query parameter "${name.slice(0, 80)}". ${taken}.`, {
		path: name,
		allowed,
	})
}

/** The procedures of the contract under their widest type. */
export const ROUTES = Object.entries(contract) as readonly (readonly [ProcedureName, ProcedureSpec])[]

export interface RestOptions {
	readonly router: AppRouter
	readonly getContext: (context: HonoContext) => Context
	readonly getBody: GetBody
}

/** Returns the body of a request. */
export type GetBody = (context: HonoContext) => RequestBody

/**
 * Serves the REST routes of the contract, except the streams. Each request becomes the input of its procedure, which is called
 * as by the other transports, so that scopes, checks and schemas are the same.
 */
export function restRoutes({ router, getContext, getBody }: RestOptions): Hono {
	const app = new Hono({ strict: false })
	for (const [name, spec] of ROUTES) {
		if (spec.kind === 'subscription') continue
		const read = createInputReader(spec, getBody)
		const inBody = spec.rest.method === 'POST'
		app.on(spec.rest.method, toHonoPath(spec.rest.path), async (context) => {
			const ctx = getContext(context)
			assertAllowed(ctx.principal, name)
			const input = await read(context)
			const data: unknown = await callTRPCProcedure({
				router,
				path: name,
				type: spec.kind,
				ctx,
				// A command that has arrived is carried out, also when its client leaves.
				signal: inBody ? undefined : context.req.raw.signal,
				batchIndex: 0,
				getRawInput: () => Promise.resolve(input),
			})
			return context.json(data, spec.rest.status as ContentfulStatusCode, { 'cache-control': 'no-store' })
		})
	}
	return app
}

/** Rewrites `{name}` in a path to Hono's `:name`. */
export function toHonoPath(path: string): string {
	return path.replaceAll(/\{(\w+)\}/g, ':$1')
}

/** Lists the input fields in a path. */
export function listPathFields({ rest }: ProcedureSpec): string[] {
	return [...rest.path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
}

function createInputReader(spec: ProcedureSpec, getBody: GetBody): (context: HonoContext) => Promise<Record<string, unknown>> {
	const fields = listPathFields(spec)
	const inBody = spec.rest.method === 'POST'
	const parameters = inBody ? new Map<string, never>() : listQueryParameters(spec.input, fields)
	return async (context) => {
		const query = readQuery(new URL(context.req.url).search, parameters)
		const body = inBody ? parseObject(await getBody(context).readText()) : {}
		const path = Object.fromEntries(fields.map((name) => [name, context.req.param(name)]))
		for (const name of fields) assertSame(name, body, path[name])
		return { ...query, ...body, ...path }
	}
}

function assertSame(name: string, body: Record<string, unknown>, inPath: string | undefined): void {
	if (!Object.hasOwn(body, name) || body[name] === inPath) return
	const message = `The body and the address differ in ${name}. Remove it from the body.`
	throw new PlanstreamError('bad_request', message, { path: name })
}
