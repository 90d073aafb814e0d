import { PlanstreamError } from '@planstream/shared'
import { contract, type ProcedureName, type ProcedureSpec } from '@planstream/shared/schemas'
import { callTRPCProcedure } from '@trpc/server'
import { Hono, type Context as HonoContext } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { parseObject } from './body.js'
import type { Context } from './context.js'
import { assertAllowed } from './procedure.js'
import { queryParameters, readQuery } from './query.js'
import type { AppRouter } from './router.js'

/** The contract's rows under their widest type. */
export const ROUTES = Object.entries(contract) as readonly (readonly [ProcedureName, ProcedureSpec])[]

/**
 * Every REST route of the contract but the streams. Each is read into the input of its procedure and calls it as the other
 * transports do, so that scopes, border and schemas are the same.
 *
 * @param contextOf - who asks
 */
export function restRoutes(router: AppRouter, contextOf: (context: HonoContext) => Context): Hono {
	const app = new Hono({ strict: false })
	for (const [name, spec] of ROUTES) {
		if (spec.kind === 'subscription') continue
		const read = inputReader(spec)
		app.on(spec.rest.method, routePath(spec), async (context) => {
			const ctx = contextOf(context)
			assertAllowed(ctx.principal, name)
			const input = await read(context)
			const data: unknown = await callTRPCProcedure({
				router,
				path: name,
				type: spec.kind,
				ctx,
				signal: context.req.raw.signal,
				batchIndex: 0,
				getRawInput: () => Promise.resolve(input),
			})
			return context.json(data, spec.rest.status as ContentfulStatusCode, { 'cache-control': 'no-store' })
		})
	}
	return app
}

/** The route's path as Hono writes it. */
export function routePath({ rest }: ProcedureSpec): string {
	return pathPattern(rest.path)
}

/** A path with `{name}` in it, as Hono writes it. */
export function pathPattern(path: string): string {
	return path.replaceAll(/\{(\w+)\}/g, ':$1')
}

/** The fields of the input that stand in the path. */
export function pathFields({ rest }: ProcedureSpec): string[] {
	return [...rest.path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
}

function inputReader(spec: ProcedureSpec): (context: HonoContext) => Promise<Record<string, unknown>> {
	const fields = pathFields(spec)
	const inBody = spec.rest.method === 'POST'
	const parameters = inBody ? new Map<string, never>() : queryParameters(spec.input, fields)
	return async (context) => {
		const query = readQuery(new URL(context.req.url).search, parameters)
		const body = inBody ? parseObject(await context.req.text()) : {}
		const path = Object.fromEntries(fields.map((name) => [name, context.req.param(name)]))
		for (const name of fields) assertSame(name, body, path[name])
		return { ...query, ...body, ...path }
	}
}

function assertSame(name: string, body: Record<string, unknown>, inPath: string | undefined): void {
	if (!Object.hasOwn(body, name) || body[name] === inPath) return
	const sentence = `The body has another ${name} than the address. Leave it out of the body.`
	throw new PlanstreamError('bad_request', sentence, { path: name })
}
