import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { HttpBindings } from '@hono/node-server'
import { PlanstreamError } from '@planstream/shared'
import { TRPCError } from '@trpc/server'
import { Hono, type MiddlewareHandler } from 'hono'
import { textBody } from './api/body.js'
import { typedError } from './api/errors.js'
import { localOnly, options } from './api/local.js'
import { problemResponse } from './api/problem-response.js'
import { type OnProblem, reported } from './api/procedure.js'
import { ROUTES, restRoutes, routePath } from './api/rest.js'
import { createRouter, type Services } from './api/router.js'
import type { ConnectionLimits } from './connections/limits.js'
import type { Connections } from './connections/registry.js'
import { processSchedule } from './connections/schedule.js'
import { LOCAL_PRINCIPAL } from './hub/principal.js'
import { sseRoutes } from './transports/sse.js'
import { trpcRoutes } from './transports/trpc-http.js'
import { trpcWebSocket } from './transports/trpc-websocket.js'
import { upgradeRouter } from './transports/upgrade.js'

export interface AppOptions {
	readonly services: Services
	readonly connections: Connections
	readonly limits: ConnectionLimits
	/** Rejects while the server cannot do its work. */
	readonly ready: () => Promise<unknown>
}

/** Everything this server answers: requests and upgrades. */
export interface App {
	readonly fetch: (request: Request, env: HttpBindings) => Response | Promise<Response>
	readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
}

type Routes = Hono<{ Bindings: HttpBindings }>

export function createApp({ services, connections, limits, ready }: AppOptions): App {
	const { draining, onProblem } = services
	const contextOf = () => ({ principal: LOCAL_PRINCIPAL })
	const transport = { ...services, router: createRouter(services), connections, limits, contextOf, schedule: processSchedule }
	const app: Routes = new Hono<{ Bindings: HttpBindings }>({ strict: false })
	answerFailures(app, onProblem)
	app.use(localOnly())
	app.get('/health/live', (context) => context.json({ status: 'live' }))
	app.use(refuseWhile(draining), textBody())
	app.get('/health/ready', async (context) => {
		await ready()
		return context.json({ status: 'ready' })
	})
	app.get('/', (context) => context.json(INDEX))
	answerOptions(app)
	app.route('/', restRoutes(transport.router, contextOf))
	app.route('/', trpcRoutes(transport))
	app.route('/', sseRoutes({ ...transport, random: Math.random }))
	refuseOtherMethods(app)
	const upgrades = { '/trpc': trpcWebSocket(transport) }
	return { fetch: (request, env) => app.fetch(request, env), upgrade: upgradeRouter({ upgrades, onProblem }) }
}

function answerFailures(app: Routes, onProblem: OnProblem): void {
	app.onError((thrown, { req }) => {
		const error = typedError(thrown)
		const told = thrown instanceof TRPCError || thrown instanceof PlanstreamError
		return problemResponse(told ? error : reported(error, onProblem, `${req.method} ${req.path}`))
	})
	app.notFound(({ req }) => {
		const sentence = `There is nothing at ${req.path}. GET / names every address.`
		return problemResponse(new PlanstreamError('not_found', sentence))
	})
}

function refuseWhile(draining: AbortSignal): MiddlewareHandler {
	return async (_context, next) => {
		if (draining.aborted) throw new PlanstreamError('draining', 'The server is stopping. Send the request again in a moment.')
		await next()
	}
}

const HEALTH = ['/health/live', '/health/ready']
const INDEX = {
	name: 'planstream',
	health: HEALTH,
	trpc: '/trpc',
	procedures: ROUTES.map(([name, { rest, summary }]) => ({ name, method: rest.method, path: rest.path, summary })),
}

function answerOptions(app: Routes): void {
	for (const [path, methods] of ALLOWED) app.options(path, (context) => options(context, methods.join(', ')))
	app.options('/trpc/*', (context) => options(context, 'GET, POST, OPTIONS'))
}

/** Comes after every route: what is left is a method that its address does not take. */
function refuseOtherMethods(app: Routes): void {
	for (const [path, allowed] of ALLOWED) {
		app.all(path, ({ req }) => {
			const sentence = `${req.path} does not take ${req.method}. It takes ${allowed.join(', ')}.`
			throw new PlanstreamError('method_not_allowed', sentence, { allowed })
		})
	}
}

const ALLOWED = allowedMethods()

/** Every address with the methods it takes. */
function allowedMethods(): Map<string, readonly string[]> {
	const methods = new Map<string, readonly string[]>(['/', ...HEALTH].map((path) => [path, ['GET']]))
	for (const [, spec] of ROUTES) methods.set(routePath(spec), [...(methods.get(routePath(spec)) ?? []), spec.rest.method])
	return new Map([...methods].map(([path, own]) => [path, [...own, ...(own.includes('GET') ? ['HEAD'] : []), 'OPTIONS']]))
}
