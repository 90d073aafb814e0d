// Planstream inside a Hono application that has users, a page and a tRPC router of its own.
import { serve } from '@hono/node-server'
import { createPlanstream, type Principal } from '@planstream/server'
import { initTRPC } from '@trpc/server'
import { fetchRequestHandler } from '@trpc/server/adapters/fetch'
import { Hono } from 'hono'

/** Finds the user of a request: here by a header, in your application by a session. */
function findUser(header: string | string[] | undefined): string | null {
	return typeof header === 'string' && header !== '' ? header : null
}

interface AppContext {
	readonly user: string | null
}

const planstream = await createPlanstream({
	store: { kind: 'memory' },
	scripted: true,
	authorize: (ctx, { via, headers }): Principal | null => {
		const user = via === 'router' ? (ctx as AppContext).user : findUser(headers['x-user'])
		if (user === null) return null
		return { tenant: 'default', actor: { type: 'user', id: user }, scopes: new Set(['plans:read', 'plans:write']) }
	},
})

const t = initTRPC.context<AppContext>().create()
const router = t.router({
	hello: t.procedure.query(({ ctx }) => `Hello, ${ctx.user ?? 'stranger'}!`),
	planstream: planstream.router,
})
export type AppRouter = typeof router

const app = new Hono()
app.get('/', (context) => context.text('an application'))
app.all('/trpc/*', ({ req }) =>
	fetchRequestHandler({
		endpoint: '/trpc',
		req: req.raw,
		router,
		createContext: () => ({ user: findUser(req.header('x-user')) }),
	}),
)
app.all('/planstream/*', planstream.handler)

const server = serve({ fetch: app.fetch, port: Number(process.env.PORT ?? 3000), hostname: '127.0.0.1' }, ({ port }) => {
	console.log(`listening on http://127.0.0.1:${port}`)
})
planstream.attachWebSockets(server, { path: '/planstream' })

process.once('SIGTERM', () => void planstream.close().then(() => server.close()))
