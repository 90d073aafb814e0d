import { type EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { getRequestListener, type HttpBindings, RequestError } from '@hono/node-server'
import { asPlanstreamError, PlanstreamError } from '@planstream/shared'
import { Hono } from 'hono'
import { toErrorShape, toProblemResponse } from '../api/errors.js'
import { holdContinue } from '../api/request-body.js'
import { createRequestId, REQUEST_ID } from '../api/response-headers.js'
import type { AppBindings } from '../app.js'
import { OpenSet } from '../connections/connections.js'
import { refuseUpgrade } from '../transports/websocket/upgrade.js'

/** Answers malformed requests, CONNECT and unsupported Expect headers with a problem document. */
function answerBadRequest(server: Server): void {
	const begun = new WeakMap<Duplex, ServerResponse>()
	server.on('request', ({ socket }: IncomingMessage, outgoing: ServerResponse) => void begun.set(socket, outgoing))
	server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
		const outgoing = begun.get(socket)
		// A second response would be read as part of the one under way; a response without the socket waits behind one.
		const mixed = outgoing !== undefined && !outgoing.writableEnded && (outgoing.headersSent || outgoing.socket === null)
		if (mixed || !socket.writable || error.code === 'ECONNRESET') socket.destroy()
		else refuseUpgrade(socket, explainBadRequest(error))
	})
	server.on('checkExpectation', ({ headers: { expect } }: IncomingMessage, outgoing: ServerResponse) => {
		const message = `Unsupported Expect header "${String(expect).slice(0, 80)}". Remove it or send "100-continue".`
		const error = new PlanstreamError('bad_request', message, { path: 'expect' })
		const { status, headers } = toProblemResponse(error)
		const body = JSON.stringify(error.toProblem())
		const fields = {
			...Object.fromEntries(headers),
			[REQUEST_ID]: createRequestId(),
			'content-length': Buffer.byteLength(body),
			connection: 'close',
		}
		outgoing.writeHead(status, fields).end(body)
	})
	server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
		socket.on('error', ignoreReset)
		const message = 'CONNECT is not supported: this server is not a proxy. Send GET, POST or DELETE.'
		refuseUpgrade(socket, new PlanstreamError('method_not_allowed', message, { allowed: ['GET', 'POST', 'DELETE'] }))
	})
}

/** Maps the error code of Node's HTTP parser to a problem. */
function explainBadRequest(cause: NodeJS.ErrnoException): PlanstreamError {
	switch (cause.code) {
		case 'HPE_HEADER_OVERFLOW':
			return createHeadersTooLargeError(cause)
		case 'ERR_HTTP_REQUEST_TIMEOUT':
			return new PlanstreamError(
				'request_timeout',
				`The headers did not arrive within ${HEADERS_TIMEOUT_MS} ms. Send them without pauses.`,
				{ limit: HEADERS_TIMEOUT_MS },
				{ cause },
			)
		default: {
			const message = `Malformed HTTP/1.1 request (${cause.message.slice(0, 120)}). Send it with an HTTP client.`
			return new PlanstreamError('bad_request', message, {}, { cause })
		}
	}
}

/**
 * Makes the error for headers that are too large. It is a problem and tRPC's error in one, because the address may be lost: a long one
 * arrives in several pieces.
 */
function createHeadersTooLargeError(cause: unknown): PlanstreamError {
	const message =
		'The address and the headers are larger than 16 KiB. Send fewer or shorter ones; a query of tRPC can be sent as a POST.'
	const shape = toErrorShape(new PlanstreamError('too_large', message), { type: 'unknown', path: undefined })
	return new PlanstreamError('too_large', message, { error: shape }, { cause })
}

/** Answers a request whose path or Host header does not form a valid URL. */
function answerInvalidUrl(error: unknown): Response {
	const message = 'The path or the Host header is not a valid URL. Request a path such as /health/live on http://localhost.'
	const isMalformed = error instanceof RequestError
	const problem = isMalformed ? new PlanstreamError('bad_request', message, {}, { cause: error }) : asPlanstreamError(error)
	const response = toProblemResponse(problem)
	response.headers.set(REQUEST_ID, createRequestId())
	return response
}

/** Ignores an error on the socket of a CONNECT: Node adds no listener there, and an unhandled error ends the process. */
function ignoreReset(): void {}

/** Number of requests that may wait behind a response; with more, their connection is not read any further. */
const MAX_WAITING_REQUESTS = 1

interface WaitingRequest {
	readonly outgoing: ServerResponse
	readonly answer: () => void
}

/**
 * Requests that a client has pipelined behind another one. Each starts only after the previous response has closed, and all are
 * dropped with their connection. Otherwise a client that reads nothing could have any number of responses built and kept.
 */
class PipelinedRequests {
	readonly #socket: Duplex
	readonly #waiting: WaitingRequest[] = []

	/** @param current - the response that has the socket */
	constructor(socket: Duplex, current: ServerResponse) {
		this.#socket = socket
		socket.on('resume', this.#pauseWhenFull)
		current.once('close', this.#startNext)
	}

	add(request: WaitingRequest): void {
		this.#waiting.push(request)
		this.#pauseWhenFull()
	}

	/** Node passes the socket to the next response when one is finished, and to none when the connection has closed. */
	readonly #startNext = (): void => {
		const next = this.#waiting.shift()
		if (next === undefined || next.outgoing.socket === null) {
			this.#waiting.splice(0)
			this.#socket.off('resume', this.#pauseWhenFull)
			return
		}
		if (this.#waiting.length === MAX_WAITING_REQUESTS) this.#socket.resume()
		next.outgoing.once('close', this.#startNext)
		next.answer()
	}

	/** Node itself resumes the socket after each parsed request and when a body is read. */
	readonly #pauseWhenFull = (): void => {
		if (this.#waiting.length > MAX_WAITING_REQUESTS) this.#socket.pause()
	}
}

/** Starts the responses of each connection one at a time, in the order of its requests. */
class AnswerOrder {
	/** The last response that had the socket. */
	readonly #current = new WeakMap<Duplex, ServerResponse>()
	readonly #pipelined = new WeakMap<Duplex, PipelinedRequests>()

	run({ socket }: IncomingMessage, outgoing: ServerResponse, answer: () => void): void {
		const current = this.#current.get(socket)
		if (outgoing.socket !== null || current === undefined) {
			this.#current.set(socket, outgoing)
			this.#pipelined.delete(socket)
			answer()
			return
		}
		const known = this.#pipelined.get(socket)
		const pipelined = known ?? new PipelinedRequests(socket, current)
		if (known === undefined) this.#pipelined.set(socket, pipelined)
		pipelined.add({ outgoing, answer })
	}
}

/** Time limit for a request's headers; see PROTOCOL.md section 7. */
const HEADERS_TIMEOUT_MS = 10_000
const TIMEOUT_CHECK_MS = 1000
/** Longer than the 60 s of common load balancers, which would otherwise send a request into a connection that just closed. */
const KEEP_ALIVE_MS = 72_000

export type Fetch = (request: Request, env: HttpBindings) => Response | Promise<Response>

/** Creates a listener for Node's HTTP server that answers with `fetch`, one request at a time for each connection. */
export function createRequestListener(fetch: Fetch): (incoming: IncomingMessage, outgoing: ServerResponse) => void {
	const answer = getRequestListener((request, env) => fetch(request, env as HttpBindings), { errorHandler: answerInvalidUrl })
	const order = new AnswerOrder()
	return (incoming, outgoing) => {
		// Health checks of proxies may use HTTP/1.0, which has no Host header; browsers always send one.
		if (incoming.httpVersion === '1.0') incoming.headers.host ??= 'localhost'
		order.run(incoming, outgoing, () => void answer(incoming, outgoing))
	}
}

/**
 * Creates an HTTP server that does not listen yet.
 *
 * @param keepAliveMs - time that a connection may be idle between two requests
 */
export function createHttpServer(listener: ReturnType<typeof createRequestListener>, keepAliveMs = KEEP_ALIVE_MS): Server {
	const server = createServer(
		{
			headersTimeout: HEADERS_TIMEOUT_MS,
			keepAliveTimeout: keepAliveMs,
			// Bodies have limits of their own, which an import that makes progress never meets.
			requestTimeout: 0,
			connectionsCheckingInterval: TIMEOUT_CHECK_MS,
			requireHostHeader: false,
		},
		listener,
	)
	server.on('checkContinue', (incoming: IncomingMessage, outgoing: ServerResponse) => {
		holdContinue(incoming)
		server.emit('request', incoming, outgoing)
	})
	answerBadRequest(server)
	return server
}

/**
 * Listens on a port; 0 picks a free one.
 *
 * @returns the port in use
 * @throws PlanstreamError `conflict` when another program has the port, `forbidden` when this user may not use it
 */
export async function listen(server: Server, host: string, port: number): Promise<number> {
	server.listen(port, host)
	try {
		await once(server, 'listening')
	} catch (error) {
		throw explainListenError(error, host, port)
	}
	return (server.address() as AddressInfo).port
}

function explainListenError(error: unknown, host: string, port: number): unknown {
	const code = error instanceof Error && 'code' in error ? error.code : null
	if (code === 'EADDRINUSE') {
		const message = `Port ${port} of ${host} is in use by another program. Stop that program, or choose another port (PORT, or the option port; 0 picks a free one).`
		return new PlanstreamError('conflict', message, { host, port }, { cause: error })
	}
	if (code === 'EACCES') {
		const message = `This user may not listen on port ${port} of ${host}. Set PORT to 1024 or above.`
		return new PlanstreamError('forbidden', message, { host, port }, { cause: error })
	}
	return error
}

/** Formats the URL of a server. */
export function formatUrl(host: string, port: number): string {
	return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** Headers that offer another protocol or concern this connection only. */
const LEFT_OUT: ReadonlySet<string> = new Set(['upgrade', 'connection', 'http2-settings'])

/** Whether a request asks for a WebSocket rather than another protocol. */
export function isWebSocketUpgrade({ headers: { upgrade } }: Pick<IncomingMessage, 'headers'>): boolean {
	return upgrade?.toLowerCase() === 'websocket'
}

/**
 * Answers a request that offers another protocol (Java's own client and `curl --http2` offer HTTP/2) as if it did not: a server
 * may ignore protocols it does not speak (RFC 9110, 7.8). Node passes on the connection instead of the request, so the request is
 * put back in front of the bytes that follow it, without the offer, and the connection starts over, once.
 */
export function ignoreUpgrade(server: Pick<EventEmitter, 'emit'>, request: IncomingMessage, socket: Duplex, head: Buffer): void {
	socket.unshift(Buffer.concat([Buffer.from(removeOffer(request), 'latin1'), head]))
	server.emit('connection', socket)
}

function removeOffer({ method, url, httpVersion, rawHeaders }: IncomingMessage): string {
	const lines = [`${method} ${url} HTTP/${httpVersion}`, 'Connection: close']
	for (let at = 0; at < rawHeaders.length; at += 2) {
		const name = rawHeaders[at] ?? ''
		if (!LEFT_OUT.has(name.toLowerCase())) lines.push(`${name}: ${rawHeaders[at + 1]}`)
	}
	return `${lines.join('\r\n')}\r\n\r\n`
}

/** Requests being answered; a connection without a request does not count. */
export class OpenRequests {
	readonly #open = new OpenSet<ServerResponse>()
	readonly #onClose: (this: ServerResponse) => void

	constructor() {
		const open = this.#open
		// One listener shared by all responses: a closure each would live as long as its stream.
		this.#onClose = function () {
			open.delete(this)
		}
	}

	/** Counts a request until its response closes. */
	add(outgoing: ServerResponse): void {
		if (outgoing.closed) return
		this.#open.add(outgoing)
		outgoing.on('close', this.#onClose)
	}

	/** Resolves when all requests are answered. */
	waitUntilAnswered(): Promise<void> {
		return this.#open.waitUntilEmpty()
	}

	/** Destroys the responses that are still open. */
	destroyAll(): void {
		for (const outgoing of this.#open) outgoing.destroy()
	}
}

/**
 * The part of a Hono context that a mount reads. It has no class of Hono in it, so that the context of an application with another
 * copy or version of Hono is one, too.
 */
export interface MountContext {
	/** The bindings of `@hono/node-server`. */
	readonly env: unknown
	readonly req: {
		readonly raw: Request
		readonly url: string
		/** Path of the route, which ends with `*`. */
		readonly routePath: string
	}
}

export type MountHandler = (context: MountContext) => Promise<Response>

/**
 * Creates a handler that a Hono app can mount at any path. The mount path is removed from the URL, so that the routes inside know
 * only their own paths.
 */
export function createMountHandler(fetch: (request: Request, env: AppBindings) => Promise<Response>): MountHandler {
	return async (context) => {
		const { incoming, outgoing } = assertNode(context.env)
		const { raw, url: given, routePath } = context.req
		const { method, headers, body, signal } = raw
		const url = new URL(given)
		url.pathname = stripBasePath(url.pathname, findBasePath(url.pathname, routePath))
		// The requests of older adapters are no options of Node's own Request, so their parts are named.
		const parts: RequestInit & { readonly duplex: 'half' } = { method, headers, body, signal, duplex: 'half' }
		return fetch(new Request(url, parts), { incoming, outgoing, hostContext: context })
	}
}

/** Creates an app of the mount handler alone, whose errors are those of the application around it. */
export function createMountableApp(handler: MountHandler): Hono<{ Bindings: HttpBindings }> {
	const app = new Hono<{ Bindings: HttpBindings }>({ strict: false }).all('*', handler)
	// An application with another copy of Hono would run the default handler of this one instead of its own.
	return app.onError((error) => {
		throw error
	})
}

/** Returns the part of the path that matches the route before its `*`. */
function findBasePath(path: string, routePath: string): string {
	const segments = routePath.split('/').length - 1
	return path.split('/').slice(0, segments).join('/')
}

/**
 * Removes the mount path from a path.
 *
 * @param base - without a trailing slash
 */
export function stripBasePath(path: string, base: string): string {
	return path.slice(base.length) || '/'
}

function assertNode(env: unknown): HttpBindings {
	const { incoming, outgoing } = (env ?? {}) as Partial<HttpBindings>
	if (incoming !== undefined && outgoing !== undefined) return { incoming, outgoing }
	throw new TypeError(
		'This request has no Node response, which Planstream writes its streams to. Serve the app with @hono/node-server; in tests, send requests to a port instead of app.request().',
	)
}
