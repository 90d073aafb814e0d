import { type EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { getRequestListener, type HttpBindings, RequestError } from '@hono/node-server'
import { asPlanstreamError, PlanstreamError } from '@planstream/shared'
import { type Context, Hono } from 'hono'
import { routePath } from 'hono/route'
import { problemResponse } from '../api/errors.js'
import { createRequestId, REQUEST_ID } from '../api/response-headers.js'
import type { AppBindings } from '../app.js'
import { OpenSet } from '../connections/connections.js'
import { refuse } from '../transports/websocket/upgrade.js'

/** Gives a real answer to bytes that never become a request, to CONNECT, and to expectations that nobody meets. */
function answerBadRequest(server: Server): void {
	const begun = new WeakMap<Duplex, ServerResponse>()
	server.on('request', ({ socket }: IncomingMessage, outgoing: ServerResponse) => void begun.set(socket, outgoing))
	server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
		const outgoing = begun.get(socket)
		// An answer that has begun would be taken for part of the other one; one without the socket waits behind such an answer.
		const mixed = outgoing !== undefined && !outgoing.writableEnded && (outgoing.headersSent || outgoing.socket === null)
		if (mixed || !socket.writable || error.code === 'ECONNRESET') socket.destroy()
		else refuse(socket, badRequestReason(error))
	})
	server.on('checkExpectation', ({ headers: { expect } }: IncomingMessage, outgoing: ServerResponse) => {
		const sentence = `The request expects "${String(expect).slice(0, 80)}", which nobody here does. Leave the header Expect out, or say 100-continue.`
		const error = new PlanstreamError('bad_request', sentence, { path: 'expect' })
		const { status, headers } = problemResponse(error)
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
		const sentence = 'This server is no proxy and does not take CONNECT. Send GET, POST or DELETE.'
		refuse(socket, new PlanstreamError('method_not_allowed', sentence, { allowed: ['GET', 'POST', 'DELETE'] }))
	})
}

/** What is told by the code that Node's parser gives. */
function badRequestReason(cause: NodeJS.ErrnoException): PlanstreamError {
	switch (cause.code) {
		case 'HPE_HEADER_OVERFLOW':
			return new PlanstreamError('too_large', 'The headers are larger than 16 KiB. Send fewer or shorter ones.', {}, { cause })
		case 'ERR_HTTP_REQUEST_TIMEOUT':
			return new PlanstreamError('bad_request', 'The request did not come whole in time. Send it at once.', {}, { cause })
		default: {
			const sentence = `This is no request of HTTP/1.1 (${cause.message.slice(0, 120)}). Send one with a client of HTTP.`
			return new PlanstreamError('bad_request', sentence, {}, { cause })
		}
	}
}

/** The answer to a request that never became one, because its address or its host is no URL. */
function describeBadRequest(error: unknown): Response {
	const sentence = 'The address or the host of the request cannot be read. Ask for a path on http://localhost.'
	const isMalformed = error instanceof RequestError
	const told = isMalformed ? new PlanstreamError('bad_request', sentence, {}, { cause: error }) : asPlanstreamError(error)
	const response = problemResponse(told)
	response.headers.set(REQUEST_ID, createRequestId())
	return response
}

/** Nobody else listens on the socket of a CONNECT, and an error without a listener ends the process. */
function ignoreReset(): void {}

/** Requests that may wait behind the answer to another one before their connection is read no further. */
const MAX_WAITING_REQUESTS = 1

interface WaitingRequest {
	readonly outgoing: ServerResponse
	readonly answer: () => void
}

/**
 * The requests that a client has pipelined behind another one. None is worked on before the answer to the one before it is over, and they
 * are dropped with their connection. Without it, a client that reads nothing could have any number of answers made and kept.
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

	/** Node gives the socket to the next response when one is finished, and to none when the connection is over. */
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

	/** Node resumes the socket on its own, after each request that it has parsed and when the body of one is read. */
	readonly #pauseWhenFull = (): void => {
		if (this.#waiting.length > MAX_WAITING_REQUESTS) this.#socket.pause()
	}
}

/** Starts the answers of each connection one at a time, in the order of its requests. */
class AnswerOrder {
	/** The response that had the socket last. */
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

/** Time for a request's headers; see PROTOCOL.md section 7. */
const HEADERS_TIMEOUT_MS = 10_000
const TIMEOUT_CHECK_MS = 1000

export type Fetch = (request: Request, env: HttpBindings) => Response | Promise<Response>

/** Answers the requests of an HTTP server of Node with `fetch`, one at a time for each connection. */
export function requestListener(fetch: Fetch): (incoming: IncomingMessage, outgoing: ServerResponse) => void {
	const answer = getRequestListener((request, env) => fetch(request, env as HttpBindings), { errorHandler: describeBadRequest })
	const order = new AnswerOrder()
	return (incoming, outgoing) => {
		// A health check of a proxy may speak HTTP/1.0, which knows no Host; a page cannot leave it out.
		if (incoming.httpVersion === '1.0') incoming.headers.host ??= 'localhost'
		order.run(incoming, outgoing, () => void answer(incoming, outgoing))
	}
}

/** A server that answers with a listener once it listens. */
export function createHttpServer(listener: ReturnType<typeof requestListener>): Server {
	const options = { headersTimeout: HEADERS_TIMEOUT_MS, connectionsCheckingInterval: TIMEOUT_CHECK_MS, requireHostHeader: false }
	const server = createServer(options, listener)
	answerBadRequest(server)
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

/** Headers that offer another protocol, or are about this connection only. */
const LEFT_OUT: ReadonlySet<string> = new Set(['upgrade', 'connection', 'http2-settings'])

/** Whether a request asks for a WebSocket, and not for another protocol. */
export function isWebSocketUpgrade({ headers: { upgrade } }: Pick<IncomingMessage, 'headers'>): boolean {
	return upgrade?.toLowerCase() === 'websocket'
}

/**
 * Has a request that offers another protocol, as those of Java's own client and of `curl --http2` offer HTTP/2, answered as if it
 * did not: a server may ignore what it does not speak (RFC 9110, 7.8). Node hands over the connection instead of the request, so the
 * request is put back in front of what follows it, without the offer, and the connection begins anew, once.
 */
export function ignoreUpgrade(server: Pick<EventEmitter, 'emit'>, request: IncomingMessage, socket: Duplex, head: Buffer): void {
	socket.unshift(Buffer.concat([Buffer.from(withoutOffer(request), 'latin1'), head]))
	server.emit('connection', socket)
}

function withoutOffer({ method, url, httpVersion, rawHeaders }: IncomingMessage): string {
	const lines = [`${method} ${url} HTTP/${httpVersion}`, 'Connection: close']
	for (let at = 0; at < rawHeaders.length; at += 2) {
		const name = rawHeaders[at] ?? ''
		if (!LEFT_OUT.has(name.toLowerCase())) lines.push(`${name}: ${rawHeaders[at + 1]}`)
	}
	return `${lines.join('\r\n')}\r\n\r\n`
}

/** The requests that are being answered; a connection that has asked nothing yet is none. */
export class OpenRequests {
	readonly #open = new OpenSet<ServerResponse>()
	readonly #whenOver: (this: ServerResponse) => void

	constructor() {
		const open = this.#open
		// One listener for all answers: a stream is one for as long as it lasts.
		this.#whenOver = function () {
			open.delete(this)
		}
	}

	/** Counts a request in until its answer is over. */
	add(outgoing: ServerResponse): void {
		if (outgoing.closed) return
		this.#open.add(outgoing)
		outgoing.on('close', this.#whenOver)
	}

	/** Resolves when none is left. */
	answered(): Promise<void> {
		return this.#open.waitUntilEmpty()
	}

	/** Cuts what is still being answered. */
	cut(): void {
		for (const outgoing of this.#open) outgoing.destroy()
	}
}

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
