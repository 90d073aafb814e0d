import type { HttpBindings } from '@hono/node-server'
import { PlanstreamError } from '@planstream/shared'
import { archiveRoutes, contract } from '@planstream/shared/schemas'
import { TRPCError } from '@trpc/server'
import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { compress } from 'hono/compress'
import { archives } from './api/archives.js'
import { ARTIFACT_PATH, artifactRoutes } from './api/artifacts.js'
import { options, originGuard } from './api/cors.js'
import { DESCRIPTION_PATHS, descriptions } from './api/descriptions.js'
import { problemResponse, trpcProblemResponse, typedError, unavailableResponse } from './api/errors.js'
import { textBody } from './api/input.js'
import { assertScope, type OnProblem, reportFailures } from './api/procedure.js'
import { pathPattern, ROUTES, restRoutes, routePath } from './api/rest.js'
import { createRouter, type Services } from './api/router.js'
import type { Authenticator } from './auth/authenticator.js'
import type { ConnectionLimits } from './connections/connections.js'
import { Fanout } from './delivery/fanout.js'
import type { Principal } from './hub/principal.js'
import type { Artifacts } from './plans/artifacts.js'
import { sseRoutes } from './transports/sse/plain.js'
import { trpcRoutes } from './transports/trpc-http.js'
import { plainWebSocket, WEBSOCKET_PATH } from './transports/websocket/plain.js'
import { trpcWebSocket } from './transports/websocket/trpc.js'
import { type UpgradeRouter, upgradeRouter } from './transports/websocket/upgrade.js'

export interface AppOptions {
	readonly services: Services
	readonly artifacts: Artifacts
	/** Who may ask. */
	readonly authority: Authenticator
	readonly limits: ConnectionLimits
	/** Rejects while the server cannot do its work. */
	readonly ready: () => Promise<unknown>
	/** How it is and how much it does, as text for a Prometheus server. */
	readonly metrics: () => string
}

/** Everything this server answers: requests and upgrades. */
export interface App extends UpgradeRouter {
	readonly fetch: (request: Request, env: AppBindings) => Response | Promise<Response>
	/** Streams of plan events. */
	readonly deliveries: Fanout
	/** Every address with its method, for whoever walks them. */
	readonly routes: readonly { readonly method: string; readonly path: string }[]
}

/** What stands behind a request. */
export interface AppBindings extends HttpBindings {
	/** The context of the application that this one is mounted in. */
	readonly hostContext?: Context
}

interface Env {
	readonly Bindings: AppBindings
	/** Who asks; set before every route but those that are open to all. */
	readonly Variables: { readonly principal: Principal }
}

type Routes = Hono<Env>

export function createApp({ services, artifacts, authority, limits, ready, metrics }: AppOptions): App {
	const { draining, onProblem } = services
	const contextOf = ({ var: { principal } }: Context<Env>) => ({ principal })
	const router = createRouter(services)
	const deliveries = new Fanout(services.hub, { ...services, clock: () => performance.now() })
	const transport = { ...services, deliveries, router, authority, limits, contextOf }
	const app: Routes = new Hono<Env>({ strict: false })
	answerFailures(app, onProblem)
	app.use(originGuard(authority))
	app.get('/health/live', (context) => context.json({ status: 'live' }))
	app.use(refuseWhile(draining))
	app.get('/health/ready', async (context) => {
		try {
			await ready()
		} catch (thrown) {
			if (thrown instanceof PlanstreamError) return unavailableResponse(thrown)
			throw thrown
		}
		return context.json({ status: 'ready' })
	})
	answerOptions(app)
	for (const path of LARGE) app.use(path, compress({ encoding: 'gzip' }))
	app.route('/', descriptions())
	app.use(identify(authority))
	app.route(
		'/',
		archives({ ...transport, artifacts, restore: (principal, archive) => services.executor.restore(principal, archive) }),
	)
	app.use(textBody())
	app.get('/', (context) => {
		assertScope(context.var.principal, 'plans:read', 'The list of addresses')
		return context.json(INDEX)
	})
	app.get(METRICS, (context) => {
		assertScope(context.var.principal, 'admin', 'GET /metrics')
		return context.body(metrics(), 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' })
	})
	app.route('/', restRoutes(router, contextOf))
	app.route('/', artifactRoutes({ ...transport, artifacts }))
	app.route('/', trpcRoutes(transport))
	app.route('/', sseRoutes({ ...transport, random: Math.random }))
	refuseOtherMethods(app)
	const upgrades = { '/trpc': trpcWebSocket(transport), [WEBSOCKET_PATH]: plainWebSocket(transport) }
	return {
		fetch: (request, env) => app.fetch(request, env),
		...upgradeRouter({ upgrades, authority, onProblem }),
		deliveries,
		routes: app.routes,
	}
}

function identify(authority: Authenticator): MiddlewareHandler<Env> {
	return async (context, next) => {
		const { incoming, hostContext = null } = context.env
		const request = { via: 'http', headers: incoming.headers, token: null } as const
		context.set('principal', await authority.identify(request, hostContext))
		await next()
	}
}

const TRPC = '/trpc/'

function answerFailures(app: Routes, onProblem: OnProblem): void {
	app.onError((thrown, { req }) => {
		const told = thrown instanceof TRPCError || thrown instanceof PlanstreamError
		const error = told ? typedError(thrown) : reportFailures(typedError(thrown), onProblem, `${req.method} ${req.path}`)
		return req.path.startsWith(TRPC) ? trpcProblemResponse(error, req.path.slice(TRPC.length)) : problemResponse(error)
	})
	app.notFound(({ req }) => {
		const sentence = `There is nothing at ${req.path.slice(0, 200)}. GET / names every address.`
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
const METRICS = '/metrics'
/** Answers that are worth compressing for who asks for it; the others are small, and often in a hurry. */
const LARGE = [routePath(contract['plans.history']), pathPattern(archiveRoutes.export.rest.path), ...DESCRIPTION_PATHS]
const INDEX = {
	name: 'planstream',
	health: HEALTH,
	metrics: METRICS,
	descriptions: DESCRIPTION_PATHS,
	trpc: '/trpc',
	websocket: WEBSOCKET_PATH,
	artifacts: ARTIFACT_PATH,
	archives: Object.values(archiveRoutes).map(({ rest, summary }) => ({ method: rest.method, path: rest.path, summary })),
	procedures: ROUTES.map(([name, { rest, summary }]) => ({ name, method: rest.method, path: rest.path, summary })),
}

function answerOptions(app: Routes): void {
	for (const [path, methods] of ALLOWED) app.options(path, (context) => options(context, methods.join(', ')))
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
	const methods = new Map<string, readonly string[]>(
		['/', METRICS, ...HEALTH, ...DESCRIPTION_PATHS].map((path) => [path, ['GET']]),
	)
	methods.set(pathPattern(ARTIFACT_PATH), ['GET'])
	for (const { rest } of Object.values(archiveRoutes)) methods.set(pathPattern(rest.path), [rest.method])
	methods.set('/trpc/*', ['GET', 'POST'])
	for (const [, spec] of ROUTES) methods.set(routePath(spec), [...(methods.get(routePath(spec)) ?? []), spec.rest.method])
	return new Map([...methods].map(([path, own]) => [path, [...own, ...(own.includes('GET') ? ['HEAD'] : []), 'OPTIONS']]))
}
