import type { IncomingMessage, ServerResponse } from 'node:http'
import type { HttpBindings } from '@hono/node-server'
import { PlanstreamError } from '@planstream/shared'
import { archiveRoutes, contract } from '@planstream/shared/schemas'
import { TRPCError } from '@trpc/server'
import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { METHOD_NAME_ALL } from 'hono/router'
import { type ArchivesOptions, archives } from './api/archives.js'
import { ARTIFACT_PATH, artifactRoutes } from './api/artifacts.js'
import { DESCRIPTION_PATHS, type DocsAccess, descriptions } from './api/descriptions.js'
import { toProblemResponse, toTrpcProblemResponse, toTypedError, toUnavailableResponse } from './api/errors.js'
import { assertScope, type OnProblem, reportFailures } from './api/procedure.js'
import { answerBeforeBody, type BodyBudget, type BodyTiming, RequestBody } from './api/request-body.js'
import { answerOptions, originGuard } from './api/response-headers.js'
import { ROUTES, restRoutes, toHonoPath } from './api/rest.js'
import { createRouter, type Services } from './api/router.js'
import type { Authenticator } from './auth/authenticator.js'
import type { AnonymousClients } from './connections/anonymous.js'
import { type AnswerBudget, HttpAnswer } from './connections/answer-budget.js'
import type { ConnectionLimits } from './connections/connections.js'
import { Fanout } from './delivery/fanout.js'
import type { Principal } from './hub/principal.js'
import { sseRoutes } from './transports/sse/plain.js'
import { acceptsGzip } from './transports/sse/stream.js'
import { trpcRoutes } from './transports/trpc-http.js'
import { plainWebSocket, WEBSOCKET_PATH } from './transports/websocket/plain.js'
import { trpcWebSocket } from './transports/websocket/trpc.js'
import { createUpgradeRouter, type UpgradeRouter } from './transports/websocket/upgrade.js'

export interface AppOptions {
	readonly services: Services
	/** Keys, folder and limits of exports and imports. */
	readonly archiving: Pick<ArchivesOptions, 'keys' | 'directory' | 'limits'>
	readonly authority: Authenticator
	/** Counts those who have no key. @defaultValue null, on a server without keys */
	readonly anonymous?: AnonymousClients | null
	/** @defaultValue `'public'` */
	readonly docs?: DocsAccess
	readonly limits: ConnectionLimits
	readonly bodies: BodyTiming
	/** Rejects while the server is not ready. */
	readonly ready: () => Promise<unknown>
	/** Returns the metrics in Prometheus text format. */
	readonly metrics: () => string
}

/** Answers requests and WebSocket upgrades. */
export interface App extends UpgradeRouter {
	readonly fetch: (request: Request, env: AppBindings) => Promise<Response>
	readonly fanout: Fanout
	/** Every route that is served, for tests that visit them all. */
	readonly routes: readonly { readonly method: string; readonly path: string }[]
}

/** Bindings of a request. */
export interface AppBindings extends HttpBindings {
	/** Hono context of the host application, when this app is mounted in one. */
	readonly hostContext?: unknown
}

/** The tenant of a request; empty until its caller is known. */
interface Caller {
	tenant: string
}

interface Env {
	readonly Bindings: AppBindings & { readonly body: RequestBody; readonly caller: Caller }
	/** `principal` is set on every route that needs credentials. */
	readonly Variables: { readonly principal: Principal; readonly requestId: string }
}

type Routes = Hono<Env>

export function createApp({
	services,
	archiving,
	authority,
	anonymous = null,
	docs = 'public',
	limits,
	bodies,
	ready,
	metrics,
}: AppOptions): App {
	const { draining, onProblem } = services
	const getContext = ({ var: { principal, requestId } }: Context<Env>) => ({ principal, requestId })
	const getBody = ({ env: { body } }: Context<Env>) => body
	const router = createRouter(services)
	const fanout = new Fanout(services.hub, { ...services, clock: () => performance.now() })
	const transport = { ...services, fanout, router, authority, anonymous, limits, getContext, getBody }
	const open = createOpenRoutes(ready, services.answers)
	if (docs === 'public') open.route('/', descriptions())
	const guarded: Routes = new Hono<Env>({ strict: false })
	guarded.use(identify(authority, anonymous))
	guarded.route(
		'/',
		archives({
			...transport,
			...archiving,
			restore: (principal, archive) => services.executor.restore(principal, archive),
		}),
	)
	if (docs === 'key') guarded.route('/', descriptions())
	guarded.get('/', (context) => {
		assertScope(context.var.principal, 'plans:read', 'The list of addresses')
		return context.json(INDEX)
	})
	guarded.get(METRICS, (context) => {
		assertScope(context.var.principal, 'admin', 'GET /metrics')
		return context.body(metrics(), 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' })
	})
	guarded.route('/', sseRoutes({ ...transport, random: Math.random }))
	guarded.route('/', restRoutes(transport))
	guarded.route('/', artifactRoutes(transport))
	guarded.route('/', trpcRoutes(transport))

	const app: Routes = new Hono<Env>({ strict: false })
	answerFailures(app, onProblem)
	app.use(originGuard(authority))
	if (anonymous !== null) app.use(limitOpenRoutes(authority, anonymous))
	app.get('/health/live', (context) => context.json({ status: 'live' }))
	app.use(refuseWhile(draining))
	const methods = listMethods([...app.routes, ...open.routes, ...guarded.routes])
	for (const [path, allowed] of methods) app.options(path, (context) => answerOptions(context, allowed.join(', ')))
	for (const path of LARGE) app.use(path, compressAnswer)
	app.route('/', open)
	app.route('/', guarded)
	refuseOtherMethods(app, methods)
	const upgrades = { '/trpc': trpcWebSocket(transport), [WEBSOCKET_PATH]: plainWebSocket(transport) }
	return {
		fetch: async (request, env) => {
			const { incoming, outgoing, hostContext } = env
			const caller: Caller = { tenant: '' }
			const budget: BodyBudget = {
				hold: (bytes) => services.answers.hold(caller.tenant, bytes),
				assertRoom: () => services.answers.assertRoom(caller.tenant),
			}
			const body = new RequestBody({ request, incoming, outgoing, isMounted: hostContext !== undefined, budget }, bodies)
			const response = await app.fetch(request, { ...env, body, caller })
			// A stream sends its own headers, and is watched from its first backpressure.
			if (outgoing.headersSent) return response
			services.answers.add(new HttpAnswer(outgoing, caller.tenant))
			if (!response.ok && (await body.isUnderWay())) return answerBeforeBody(response, body)
			if (body.isLeftOver) void body.discard()
			return response
		},
		...createUpgradeRouter({ upgrades, authority, anonymous, onProblem }),
		fanout,
		routes: app.routes,
	}
}

/** Routes that need no credentials; `/health/live` is not among them because it also answers while the server stops. */
function createOpenRoutes(ready: AppOptions['ready'], answers: AnswerBudget): Routes {
	const open: Routes = new Hono<Env>({ strict: false })
	open.get('/health/ready', async (context) => {
		try {
			await ready()
		} catch (thrown) {
			if (thrown instanceof PlanstreamError) return toUnavailableResponse(thrown)
			throw thrown
		}
		return context.json({ status: 'ready' })
	})
	// Runs after the health checks and before everything else.
	open.use(async (_context, next) => {
		answers.assertRoom('')
		await next()
	})
	return open
}

/** Limits the requests that are answered without a key. Health is not in the total, so that a flood does not make the server look dead. */
function limitOpenRoutes(authority: Authenticator, anonymous: AnonymousClients): MiddlewareHandler<Env> {
	return async ({ env: { incoming, outgoing }, req }, next) => {
		const path = req.path.replace(/\/$/, '')
		const isHealth = HEALTH.includes(path)
		const isOpen = isHealth || req.method === 'OPTIONS' || DESCRIPTION_PATHS.includes(path)
		if (isOpen && !(await hasKey(authority, incoming))) takeAnonymous(anonymous, incoming, outgoing, !isHealth)
		await next()
	}
}

async function hasKey(authority: Authenticator, { headers, socket }: IncomingMessage): Promise<boolean> {
	if (headers.authorization === undefined) return false
	try {
		await authority.identify({ via: 'http', headers, token: null, address: socket.remoteAddress }, null)
		return true
	} catch {
		return false
	}
}

function takeAnonymous(anonymous: AnonymousClients, incoming: IncomingMessage, outgoing: ServerResponse, isInTotal = true): void {
	try {
		anonymous.take(incoming, isInTotal)
	} catch (refused) {
		outgoing.setHeader('connection', 'close')
		throw refused
	}
}

function identify(authority: Authenticator, anonymous: AnonymousClients | null): MiddlewareHandler<Env> {
	return async (context, next) => {
		const { incoming, outgoing, hostContext = null } = context.env
		const { headers, socket } = incoming
		const request = { via: 'http', headers, token: null, address: socket.remoteAddress } as const
		try {
			const principal = await authority.identify(request, hostContext)
			context.set('principal', principal)
			context.env.caller.tenant = principal.tenant
		} catch (refused) {
			if (anonymous !== null) takeAnonymous(anonymous, incoming, outgoing)
			throw refused
		}
		anonymous?.admit(incoming.socket)
		await next()
	}
}

const TRPC = '/trpc/'

function answerFailures(app: Routes, onProblem: OnProblem): void {
	app.onError((thrown, { req, var: { requestId } }) => {
		const where = `${req.method} ${req.path}`
		const typed = toTypedError(thrown)
		// A procedure has reported its own failures.
		const error = thrown instanceof TRPCError ? typed : reportFailures(typed, onProblem, where, requestId)
		return req.path.startsWith(TRPC) ? toTrpcProblemResponse(error, req.path.slice(TRPC.length)) : toProblemResponse(error)
	})
	app.notFound(({ req }) => {
		const message = `There is nothing at ${req.path.slice(0, 200)}. GET / lists every address.`
		return toProblemResponse(new PlanstreamError('not_found', message))
	})
}

function refuseWhile(draining: AbortSignal): MiddlewareHandler {
	return async ({ req }, next) => {
		if (draining.aborted && req.path !== METRICS)
			throw new PlanstreamError('draining', 'The server is stopping. Send the request again in a moment.')
		await next()
	}
}

const HEALTH: readonly string[] = ['/health/live', '/health/ready']
const METRICS = '/metrics'
/** Routes with answers large enough to compress on request. The others are small and often urgent. */
const LARGE = [toHonoPath(contract['plans.history'].rest.path), toHonoPath(archiveRoutes.export.rest.path)]
const LARGE_TYPE = /^application\/(?:problem\+)?(?:json|x-ndjson)\b/
/** Below it a compressed answer is hardly smaller. */
const MIN_COMPRESSED_BYTES = 1024

/** Compresses a large answer for clients that accept gzip. Older versions of Hono's own middleware do so for all clients. */
const compressAnswer: MiddlewareHandler<Env> = async (context, next) => {
	await next()
	const { body, headers } = context.res
	if (body === null || context.req.method === 'HEAD' || !LARGE_TYPE.test(headers.get('content-type') ?? '')) return
	if (Number(headers.get('content-length') ?? MIN_COMPRESSED_BYTES) < MIN_COMPRESSED_BYTES) return
	headers.append('vary', 'accept-encoding')
	if (!acceptsGzip(context.req.header('accept-encoding'))) return
	context.res = new Response(body.pipeThrough(new CompressionStream('gzip')), context.res)
	context.res.headers.delete('content-length')
	context.res.headers.set('content-encoding', 'gzip')
}

const INDEX = {
	name: 'planstream',
	health: ['/health/live', '/health/ready'],
	metrics: METRICS,
	descriptions: DESCRIPTION_PATHS,
	trpc: '/trpc',
	websocket: WEBSOCKET_PATH,
	artifacts: ARTIFACT_PATH,
	archives: Object.values(archiveRoutes).map(({ rest, summary }) => ({ method: rest.method, path: rest.path, summary })),
	procedures: ROUTES.map(([name, { rest, summary }]) => ({ name, method: rest.method, path: rest.path, summary })),
}

/** Lists the methods of each path. */
function listMethods(routes: Routes['routes']): ReadonlyMap<string, readonly string[]> {
	const methods = new Map<string, string[]>()
	for (const { method, path } of routes) {
		if (method !== METHOD_NAME_ALL) methods.set(path, [...(methods.get(path) ?? []), method])
	}
	for (const taken of methods.values()) taken.push(...(taken.includes('GET') ? ['HEAD'] : []), 'OPTIONS')
	return methods
}

/** Refuses a method that its path does not take. Runs after all routes, so only such requests get here. */
function refuseOtherMethods(app: Routes, methods: ReturnType<typeof listMethods>): void {
	for (const [path, allowed] of methods) {
		app.all(path, ({ req }) => {
			const message = `${req.path} does not take ${req.method}. It takes ${allowed.join(', ')}.`
			throw new PlanstreamError('method_not_allowed', message, { allowed })
		})
	}
}
