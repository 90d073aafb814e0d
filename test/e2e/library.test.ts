import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { createPlanstreamClient as connect, type PlanEvent } from '@planstream/client'
import { type HistoryOutput, PlanstreamError } from '@planstream/shared'
import { createTRPCClient, httpLink, httpSubscriptionLink, splitLink, TRPCClientError } from '@trpc/client'
import { initTRPC } from '@trpc/server'
import { fetchRequestHandler } from '@trpc/server/adapters/fetch'
import { EventSource } from 'eventsource'
import { Hono } from 'hono'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import type { Planstream, PlanstreamOptions } from '../../server/src/embed/options.js'
import { createPlanstream } from '../../server/src/embed/planstream.js'
import type { Principal } from '../../server/src/hub/principal.js'
import { createLogger } from '../../server/src/ops/logger.js'
import { getProblem, post, sendRequest } from '../support/http-request.js'
import { SocketClient, TrpcSocketClient } from '../support/streams/socket-client.js'

const PLAN = { query: 'q', steps: [{ step_id: 'a', action: 'do', agent_type: 'scripted', input: { result: { n: 1 } } }] }
const ALL = new Set(['plans:read', 'plans:write', 'events:publish'] as const)

function holder(id: string, tenant = 'acme'): Principal {
	return { tenant, actor: { type: 'user', id }, scopes: ALL }
}

/** A Planstream in memory that a test stops. */
async function embedded(options: Partial<PlanstreamOptions> = {}): Promise<Planstream> {
	const logger = createLogger('silent')
	const planstream = await createPlanstream({ store: { kind: 'memory' }, scripted: true, logger, ...options })
	onTestFinished(() => planstream.close())
	return planstream
}

/** An application's own server; it ends with the test. */
async function listening(server: Server): Promise<{ readonly url: string }> {
	server.listen(0, '127.0.0.1')
	await once(server, 'listening')
	onTestFinished(() => {
		server.closeAllConnections()
		server.close()
	})
	return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

function serving(app: Hono): Server {
	return createServer((incoming, outgoing) => void getRequestListener(app.fetch)(incoming, outgoing))
}

/** The events of a new plan by the SDK. */
async function follow(url: string, transport: 'websocket' | 'sse'): Promise<PlanEvent[]> {
	await using planstream = connect({ url, transport, WebSocket })
	const { plan_id } = await planstream.plans.create(PLAN)
	const events: PlanEvent[] = []
	for await (const event of planstream.plans.events({ plan_id })) events.push(event)
	return events
}

describe('mounted in a Hono application', () => {
	it.each(['', '/planstream', '/a/b', '/:team/plans'])(
		'runs and streams plans below "%s", over every transport',
		async (base) => {
			const planstream = await embedded()
			const path = base.replace(':team', 'blue')
			const app = new Hono().get('/hello', (context) => context.text('hello')).route(base, planstream.app)
			const server = serving(app)
			planstream.attachWebSockets(server, { path })
			const { url } = await listening(server)
			for (const transport of ['websocket', 'sse'] as const) {
				const events = await follow(url + path, transport)
				expect(events.at(-1)?.event_type).toBe('plan_completed')
				expect(events.at(0)?.actor).toEqual({ type: 'user', id: 'local' })
			}
			const { body } = await sendRequest({ url }, `${path}/trpc/plans.list`)
			expect(body).toMatchObject({ result: { data: { plans: [{ status: 'completed' }, { status: 'completed' }] } } })
			expect((await sendRequest({ url }, `${path}/api/v1/plans/none`)).body).toMatchObject({ code: 'not_found' })
			expect((await sendRequest({ url }, `${path}/nowhere`)).body).toMatchObject({ code: 'not_found' })
			expect((await sendRequest({ url }, '/hello')).text).toBe('hello')
			for (const [where, status] of [
				['nowhere', 404],
				['api/v1/plans', 413],
				['api/v1/admin/import', 400],
			] as const) {
				const response = await fetch(`${url}${path}/${where}`, { method: 'POST', body: `x\n${'x'.repeat(2_000_000)}` })
				expect([where, response.status, await response.json()]).toMatchObject([where, status, { status }])
			}
		},
	)

	it('refuses an upgrade for none of those attached to a server', async () => {
		const [one, other] = [await embedded(), await embedded()]
		const server = createServer((_request, response) => response.end('mine'))
		one.attachWebSockets(server, { path: '/one' })
		other.attachWebSockets(server, { path: '/other' })
		const { url } = await listening(server)
		const headers = { connection: 'upgrade', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', 'sec-websocket-version': '13' }
		const ask = (path: string, upgrade: string) => sendRequest({ url }, path, { headers: { ...headers, upgrade } })
		expect(await ask('/nowhere', 'websocket')).toMatchObject({ status: 404 })
		expect(await ask('/other/nowhere', 'websocket')).toMatchObject({ status: 404 })
		expect((await ask('/nowhere', 'h2c')).text).toBe('mine')
		for (const path of ['/one', '/other']) {
			await using wire = await new TrpcSocketClient({ url }, `${path}/trpc`).open()
			wire.send({ id: 1, method: 'query', params: { path: 'plans.list' } })
			expect((await wire.next()).result).toBeDefined()
		}
		await one.close()
		expect(await ask('/nowhere', 'websocket')).toMatchObject({ status: 404 })
	})

	it('leaves upgrades that are not its own to the application', async () => {
		const planstream = await embedded()
		const server = serving(new Hono().route('/planstream', planstream.app))
		planstream.attachWebSockets(server, { path: '/planstream' })
		const { url } = await listening(server)
		const refused = new SocketClient(`${url}/chat`)
		const [{ statusCode }] = (await once(refused.socket, 'unexpected-response').then(([, answer]) => [answer])) as [
			{ statusCode: number },
		]
		expect(statusCode).toBe(404)
		const chat = new WebSocketServer({ noServer: true })
		server.on('upgrade', (request, socket, head) => {
			if (request.url === '/chat') chat.handleUpgrade(request, socket, head, (client) => client.send('"welcome"'))
		})
		await using own = new SocketClient<string>(`${url}/chat`)
		expect(await own.next()).toBe('welcome')
		await using wire = await new TrpcSocketClient({ url }, '/planstream/trpc').open()
		wire.send({ id: 1, method: 'query', params: { path: 'agents.list', input: {} } })
		expect((await wire.next()).result).toBeDefined()
	})

	it('refuses other machines and pages of other hosts without authorize', async () => {
		const planstream = await embedded()
		const { url } = await listening(serving(new Hono().route('/p', planstream.app)))
		for (const headers of [{ host: 'example.com' }, { origin: 'https://example.com' }, { 'x-forwarded-for': '192.0.2.1' }]) {
			expect((await sendRequest({ url }, '/p/api/v1/plans', { headers })).body).toMatchObject({ code: 'forbidden' })
		}
	})

	it('names what it needs when it is called without Node', async () => {
		const planstream = await embedded()
		const app = new Hono().onError((error, context) => context.text(error.message, 500)).route('/', planstream.app)
		expect(await (await app.request('/api/v1/plans')).text()).toContain('Serve the app with @hono/node-server')
	})
})

describe('with authorize', () => {
	const authorize: PlanstreamOptions['authorize'] = async (ctx, { via, headers, token }) => {
		if (via === 'http') {
			const user = (ctx as { get(name: string): unknown }).get('user')
			return typeof user === 'string' ? holder(user) : null
		}
		return via === 'websocket' && (headers.cookie === 'user=ann' || token === 'ann') ? holder('ann') : null
	}

	async function application(): Promise<{ readonly url: string; readonly server: Server }> {
		const planstream = await embedded({ authorize, origins: ['https://app.example.com'] })
		const app = new Hono<{ Variables: { user: string } }>()
		app.use(async (context, next) => {
			const [, user] = /user=(\w+)/.exec(context.req.header('cookie') ?? '') ?? []
			if (user !== undefined) context.set('user', user)
			await next()
		})
		const server = serving(app.route('/p', planstream.app) as unknown as Hono)
		planstream.attachWebSockets(server, { path: '/p' })
		return { ...(await listening(server)), server }
	}

	it('takes the principal from the application’s middleware, and refuses requests without one', async () => {
		const host = await application()
		const made = await sendRequest(host, '/p/api/v1/plans', {
			method: 'POST',
			headers: { cookie: 'user=ann', host: 'example.com' },
			body: PLAN,
		})
		expect(made.status).toBe(201)
		const { plan_id } = made.body as { plan_id: string }
		const history = await sendRequest(host, `/p/api/v1/streaming/plans/${plan_id}/history`, { headers: { cookie: 'user=bob' } })
		expect((history.body as HistoryOutput).events[0]).toMatchObject({ actor: { type: 'user', id: 'ann' } })
		expect((await post(host, '/p/api/v1/plans', PLAN)).body).toMatchObject({ code: 'unauthorized', status: 401 })
	})

	it('calls it for each WebSocket, with its headers and its token', async () => {
		const host = await application()
		const call = { id: 1, method: 'query', params: { path: 'agents.list', input: {} } }
		for (const options of [
			{ headers: { cookie: 'user=ann' } },
			{ headers: { authorization: 'Bearer ann' } },
			{ protocols: ['planstream-1', 'planstream.bearer.ann'] },
		]) {
			await using wire = await new TrpcSocketClient(host, '/p/trpc', options).open()
			wire.send(call)
			expect((await wire.next()).result).toBeDefined()
		}
		await using plain = new SocketClient<{ event_type: string }>(`${host.url}/p/api/v1/streaming/ws/c1`, {
			headers: { cookie: 'user=ann' },
		})
		expect(await plain.next()).toMatchObject({ event_type: 'ping' })
		await using stranger = await new TrpcSocketClient(host, '/p/trpc').open()
		stranger.send(call)
		expect(await stranger.closed).toBe(4401)
		await using stranded = new SocketClient<{ code: string }>(`${host.url}/p/api/v1/streaming/ws/c1`)
		expect(await stranded.next()).toMatchObject({ frame: 'problem', code: 'unauthorized' })
		expect(await stranded.closed).toBe(4401)
	})

	it('keeps what a client sends before it is authenticated', async () => {
		let letIn: (principal: Principal) => void = () => undefined
		const planstream = await embedded({ authorize: () => new Promise((resolve) => (letIn = resolve)) })
		const server = serving(new Hono().route('/', planstream.app))
		planstream.attachWebSockets(server)
		const { url } = await listening(server)
		await using plain = await new SocketClient<Record<string, unknown>>(`${url}/api/v1/streaming/ws/c1`).open()
		plain.send({ action: 'ping', timestamp: 7 })
		letIn(holder('ann'))
		expect(await plain.next()).toMatchObject({ event_type: 'ping' })
		expect(await plain.next()).toMatchObject({ event_type: 'pong', data: { timestamp: 7 } })
	})

	it('accepts pages of its own host and of its origins only', async () => {
		const host = await application()
		const status = async (origin: string) =>
			(await sendRequest(host, '/p/health/live', { headers: { origin, host: 'plans.example.com' } })).status
		expect(await status('https://plans.example.com')).toBe(200)
		expect(await status('https://app.example.com')).toBe(200)
		expect(await status('http://localhost:5173')).toBe(403)
	})

	it.each([
		{ ...holder('x'), tenant: 'a/b' },
		{ ...holder('x'), scopes: ['plans:read'] },
		{ ...holder('x'), scopes: new Set(['everything']) },
		{},
	])('refuses an invalid principal: %j', async (principal) => {
		const planstream = await embedded({ authorize: () => principal as Principal })
		const { url } = await listening(createServer(planstream.listener))
		expect((await sendRequest({ url }, '/api/v1/plans')).body).toMatchObject({ code: 'internal' })
	})
})

describe('mounted in a server of Node', () => {
	it('answers requests of the application without the path it is mounted at', async () => {
		const planstream = await embedded()
		const server = createServer((request, response) => {
			const { url = '' } = request
			if (!url.startsWith('/plans/')) return void response.end('mine')
			request.url = url.slice('/plans'.length)
			planstream.listener(request, response)
		})
		planstream.attachWebSockets(server, { path: '/plans/' })
		const { url } = await listening(server)
		expect((await sendRequest({ url }, '/other')).text).toBe('mine')
		for (const transport of ['websocket', 'sse'] as const) {
			expect((await follow(`${url}/plans`, transport)).at(-1)?.event_type).toBe('plan_completed')
		}
	})
})

describe('its router inside an application’s own', () => {
	interface HostContext {
		readonly user: string | null
		/** Fields that mean nothing here. */
		readonly principal: Principal
		readonly carrier: string
	}
	const t = initTRPC.context<HostContext>().create()
	const authorize = (ctx: unknown) => {
		const { user } = ctx as HostContext
		return user === null ? null : holder(user)
	}

	function routerOf(planstream: Planstream) {
		return t.router({ hello: t.procedure.query(({ ctx }) => `hello ${ctx.user}`), planstream: planstream.router })
	}

	async function application(planstream: Planstream): Promise<{ readonly url: string }> {
		const router = routerOf(planstream)
		const createContext = ({ req }: { req: Request }): HostContext => {
			return { user: req.headers.get('x-user'), principal: holder('forged', 'other'), carrier: 'mine' }
		}
		const app = new Hono().all('/rpc/*', ({ req }) =>
			fetchRequestHandler({ endpoint: '/rpc', req: req.raw, router, createContext }),
		)
		return listening(serving(app))
	}

	function clientOf(url: string, user: string | null) {
		const headers = user === null ? {} : { 'x-user': user }
		const fetchAs: typeof fetch = (input, init) => fetch(input, { ...init, headers: { ...init?.headers, ...headers } })
		return createTRPCClient<ReturnType<typeof routerOf>>({
			links: [
				splitLink({
					condition: ({ type }) => type === 'subscription',
					true: httpSubscriptionLink({ url: `${url}/rpc`, EventSource, eventSourceOptions: () => ({ fetch: fetchAs }) }),
					false: httpLink({ url: `${url}/rpc`, headers }),
				}),
			],
		})
	}

	it('runs and streams plans under the application’s adapter, with the principal of authorize only', async () => {
		const planstream = await embedded({ authorize })
		const { url } = await application(planstream)
		const client = clientOf(url, 'ann')
		expect(await client.hello.query()).toBe('hello ann')
		const { plan_id } = await client.planstream.plans.create.mutate(PLAN)
		const kinds: string[] = []
		const actors = new Set<string | undefined>()
		await new Promise<void>((resolve, reject) => {
			client.planstream.plans.events.subscribe(
				{ plan_id },
				{
					onData: ({ data }) => {
						kinds.push('frame' in data ? data.frame : data.event_type)
						if ('event_type' in data) actors.add(data.actor?.id)
					},
					onComplete: resolve,
					onError: reject,
				},
			)
		})
		expect(kinds).toEqual(['ready', 'plan_created', 'plan_started', 'step_started', 'step_completed', 'plan_completed', 'end'])
		expect(actors).toContain('ann')
		expect(actors).not.toContain('forged')
		expect((await clientOf(url, 'bob').planstream.plans.list.query()).plans).toHaveLength(1)
		expect(planstream.report()).toMatchObject({ subscriptions: 0, watchers: 0 })
	})

	it('reports failures by the codes of tRPC, in the application’s own shape', async () => {
		const { url } = await application(await embedded({ authorize }))
		const failing = async (user: string | null, plan_id: string) => {
			const error = await clientOf(url, user)
				.planstream.plans.get.query({ plan_id })
				.catch((thrown: unknown) => thrown)
			return error instanceof TRPCClientError ? [error.data?.code, error.message] : error
		}
		expect(await failing(null, 'p')).toEqual(['UNAUTHORIZED', expect.stringContaining('does not recognise the caller')])
		expect(await failing('ann', 'p')).toEqual(['NOT_FOUND', expect.stringContaining('There is no plan p')])
		expect(await failing('ann', 'no plan')).toEqual(['BAD_REQUEST', expect.stringContaining('plan_id must be')])
	})

	it('serves the application itself without a network', async () => {
		const planstream = await embedded({ authorize })
		const caller = planstream.router.createCaller({ user: 'ann' } as never)
		const { plan_id } = await caller.plans.create({ ...PLAN, start: false })
		expect(await caller.plans.get({ plan_id })).toMatchObject({ status: 'pending' })
	})

	it('refuses every call without authorize', async () => {
		const { url } = await application(await embedded())
		await expect(clientOf(url, 'ann').planstream.plans.list.query()).rejects.toThrow(/need the option `authorize`/)
	})
})

describe('its end', () => {
	it('ends its streams with resume, refuses work meanwhile, and leaves the application’s server alone', async () => {
		const planstream = await embedded()
		const server = serving(new Hono().get('/hello', (context) => context.text('hello')).route('/p', planstream.app))
		planstream.attachWebSockets(server, { path: '/p' })
		const { url } = await listening(server)
		await using wire = await new TrpcSocketClient({ url }, '/p/trpc').open()
		wire.subscribe(1, 'unknown')
		await wire.until(({ result }) => (result?.data as { data?: { frame?: string } } | undefined)?.data?.frame === 'ready')
		const closing = planstream.close()
		expect(getProblem(await sendRequest({ url }, '/p/api/v1/plans'))?.code).toBe('draining')
		await closing
		expect(await wire.closed).toBe(1012)
		expect((await sendRequest({ url }, '/hello')).text).toBe('hello')
		expect(server.listenerCount('upgrade')).toBe(0)
		expect(planstream.report()).toEqual({ connections: 0, subscriptions: 0, watchers: 0, attempts: 0, timers: 0 })
		await expect(planstream.close()).resolves.toBeUndefined()
	})

	it('calls its handlers with each event of their type', async () => {
		const heard: string[] = []
		let finish: () => void = () => undefined
		const done = new Promise<void>((resolve) => {
			finish = resolve
		})
		const planstream = await embedded({
			handlers: {
				step_completed: ({ step_id }, tenant) => void heard.push(`${tenant} ${step_id}`),
				plan_completed: () => finish(),
			},
		})
		const { url } = await listening(createServer(planstream.listener))
		await follow(url, 'sse')
		await done
		expect(heard).toEqual(['default a'])
	})

	it('refuses options that contradict each other', async () => {
		const both = createPlanstream({ store: { kind: 'memory' }, apiKeys: 'keys.json', authorize: () => null })
		await expect(both).rejects.toBeInstanceOf(PlanstreamError)
	})
})

describe('an application whose middleware sets a header after next()', () => {
	it.each(['/api/v1/streaming/plans/p/events', '/trpc/plans.events?input=%7B%22plan_id%22%3A%22p%22%7D'])(
		'gets the whole stream of %s',
		async (address) => {
			const planstream = await embedded()
			const app = new Hono()
				.use('*', async (context, next) => {
					await next()
					context.header('x-response-time', '1 ms')
				})
				.route('/p', planstream.app)
			const server = await listening(serving(app))
			const publish = (events: readonly object[]) => post(server, '/p/api/v1/streaming/plans/p/events', { events })
			await publish([{ event_type: 'plan_started', data: { query: 'q', total_steps: 1 } }])
			const stream = await fetch(`${server.url}/p${address}`)
			const text = stream.text()
			await publish([{ event_type: 'plan_completed', data: {} }])
			expect(await text).toContain('plan_completed')
		},
	)
})

describe('event handlers and agents', () => {
	it('run outside the context of the requests that caused them', async () => {
		const request = new AsyncLocalStorage<string>()
		const seen: (string | undefined)[] = []
		const look = () => void seen.push(request.getStore())
		const planstream = await embedded({
			agents: [
				{
					type: 'work',
					execute: async () => {
						await new Promise(setImmediate)
						look()
						return { data: {} }
					},
				},
			],
			handlers: { step_completed: look, plan_completed: look },
		})
		const app = new Hono().use('*', (context, next) => request.run(context.req.path, next)).route('/', planstream.app)
		const server = await listening(serving(app))
		const steps = ['a', 'b'].map((step_id) => ({ step_id, action: 'do', agent_type: 'work', depends_on: [] }))
		const plans = Array.from({ length: 10 }, (_, index) => ({ plan_id: `p${index}`, query: 'q', steps }))
		await Promise.all(plans.map((plan) => post(server, '/api/v1/plans', plan)))
		await expect.poll(() => seen.length).toBe(plans.length * 5)
		expect(new Set(seen)).toEqual(new Set([undefined]))
	})
})

describe('a wall clock that is set back', () => {
	it('delays no timeout of a plan, shortens no duration, and is reported', async () => {
		const logger = createLogger('silent')
		const problems = vi.spyOn(logger, 'error')
		const planstream = await embedded({
			agents: [
				{ type: 'waits', execute: (_step, { signal }) => new Promise((_, reject) => signal.addEventListener('abort', reject)) },
			],
			logger,
		})
		const { url } = await listening(serving(new Hono().route('/', planstream.app)))
		await using client = connect({ url, transport: 'sse' })
		const { plan_id } = await client.plans.create({
			query: 'q',
			timeout_ms: 300,
			steps: [{ step_id: 'a', action: 'do', agent_type: 'waits' }],
		})
		const wall = Date.now
		const setBack = vi.spyOn(Date, 'now').mockImplementation(() => wall() - 3_600_000)
		onTestFinished(() => setBack.mockRestore())
		const events: PlanEvent[] = []
		for await (const event of client.plans.events({ plan_id })) events.push(event)
		const duration_ms = expect.toSatisfy((duration: number) => duration >= 300)
		expect(events.at(-1)).toMatchObject({ event_type: 'plan_failed', data: { error: { code: 'timeout' }, duration_ms } })
		expect(problems.mock.calls.flat()).toContainEqual(expect.stringContaining('was set back by'))
	})
})
