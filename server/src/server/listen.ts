import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import { PlanstreamError } from '@planstream/shared'
import { answerUnreadable, unreadable } from './unreadable.js'
import { endWaitingAnswers } from './waiting-answers.js'

/** Time for a request's headers; see PROTOCOL.md section 7. */
const HEADERS_TIMEOUT_MS = 10_000
const TIMEOUT_CHECK_MS = 1000

export type Fetch = (request: Request, env: HttpBindings) => Response | Promise<Response>

/** Answers the requests of an HTTP server of Node with `fetch`. */
export function requestListener(fetch: Fetch): (incoming: IncomingMessage, outgoing: ServerResponse) => void {
	const answer = getRequestListener((request, env) => fetch(request, env as HttpBindings), { errorHandler: unreadable })
	return (incoming, outgoing) => {
		// A health check of a proxy may speak HTTP/1.0, which knows no Host; a page cannot leave it out.
		if (incoming.httpVersion === '1.0') incoming.headers.host ??= 'localhost'
		void answer(incoming, outgoing)
	}
}

/** A server that answers with a listener once it listens. */
export function createHttpServer(listener: ReturnType<typeof requestListener>): Server {
	const options = { headersTimeout: HEADERS_TIMEOUT_MS, connectionsCheckingInterval: TIMEOUT_CHECK_MS, requireHostHeader: false }
	const server = createServer(options, listener)
	answerUnreadable(server)
	endWaitingAnswers(server)
	return server
}

/**
 * Takes the port; 0 takes a free one.
 *
 * @returns the port that was taken
 * @throws PlanstreamError `conflict` when another program has the port, `forbidden` when this user may not take it
 */
export async function listen(server: Server, host: string, port: number): Promise<number> {
	server.listen(port, host)
	try {
		await once(server, 'listening')
	} catch (error) {
		throw unavailable(error, host, port)
	}
	return (server.address() as AddressInfo).port
}

function unavailable(error: unknown, host: string, port: number): unknown {
	const code = error instanceof Error && 'code' in error ? error.code : null
	if (code === 'EADDRINUSE') {
		const sentence = `Port ${port} of ${host} is in use by another program. Stop that program, or set PORT to another port (0 picks a free one).`
		return new PlanstreamError('conflict', sentence, { host, port }, { cause: error })
	}
	if (code === 'EACCES') {
		const sentence = `This user may not listen on port ${port} of ${host}. Set PORT to a port from 1024 on.`
		return new PlanstreamError('forbidden', sentence, { host, port }, { cause: error })
	}
	return error
}

/** The address to ask a server at. */
export function urlOf(host: string, port: number): string {
	return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}
