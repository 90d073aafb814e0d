import type { HttpBindings } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { routePath } from 'hono/route'
import type { AppBindings } from '../app.js'

/**
 * An app that answers below whatever path another Hono app gives it. What it is mounted at is taken off the address, so that the
 * inside knows its own addresses alone.
 */
export function mountable(
	fetch: (request: Request, env: AppBindings) => Response | Promise<Response>,
): Hono<{ Bindings: HttpBindings }> {
	const app = new Hono<{ Bindings: HttpBindings }>({ strict: false })
	app.all('*', (context) => {
		const { incoming, outgoing } = assertNode(context.env)
		const url = new URL(context.req.url)
		url.pathname = inside(url.pathname, basePath(url.pathname, context))
		return fetch(new Request(url, context.req.raw), { incoming, outgoing, hostContext: context })
	})
	return app
}

/** As much of the path as stands before the `*` of the route, whatever is in its place. */
function basePath(path: string, context: Context): string {
	const segments = routePath(context).split('/').length - 1
	return path.split('/').slice(0, segments).join('/')
}

/**
 * A path without the one that something is mounted at.
 *
 * @param base - without a slash at its end
 */
export function inside(path: string, base: string): string {
	return path.slice(base.length) || '/'
}

function assertNode(env: Partial<HttpBindings> | undefined): HttpBindings {
	if (env?.incoming !== undefined && env.outgoing !== undefined) return { incoming: env.incoming, outgoing: env.outgoing }
	throw new TypeError(
		"Planstream writes its streams to Node's own responses, and this request has none. Serve the app with @hono/node-server; a test asks it over a port, not by app.request().",
	)
}
