import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { RequestError } from '@hono/node-server'
import { asPlanstreamError, PlanstreamError } from '@planstream/shared'
import { problemResponse } from '../api/problem-response.js'
import { refuse } from '../transports/upgrade.js'

/** Gives a real answer to bytes that never become a request, to CONNECT, and to expectations that nobody meets. */
export function answerUnreadable(server: Server): void {
	const begun = new WeakMap<Duplex, ServerResponse>()
	server.on('request', ({ socket }: IncomingMessage, outgoing: ServerResponse) => void begun.set(socket, outgoing))
	server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
		const outgoing = begun.get(socket)
		// An answer that has begun would be taken for part of the other one.
		const mixed = outgoing?.headersSent === true && !outgoing.writableEnded
		if (mixed || !socket.writable || error.code === 'ECONNRESET') socket.destroy()
		else refuse(socket, failureOf(error))
	})
	server.on('checkExpectation', ({ headers: { expect } }: IncomingMessage, outgoing: ServerResponse) => {
		const sentence = `The request expects "${String(expect).slice(0, 80)}", which nobody here does. Leave the header Expect out, or say 100-continue.`
		const error = new PlanstreamError('bad_request', sentence, { path: 'expect' })
		const { status, headers } = problemResponse(error)
		const body = JSON.stringify(error.toProblem())
		const fields = { ...Object.fromEntries(headers), 'content-length': Buffer.byteLength(body), connection: 'close' }
		outgoing.writeHead(status, fields).end(body)
	})
	server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
		socket.on('error', ignoreReset)
		const sentence = 'This server is no proxy and does not take CONNECT. Send GET, POST or DELETE.'
		refuse(socket, new PlanstreamError('method_not_allowed', sentence, { allowed: ['GET', 'POST', 'DELETE'] }))
	})
}

/** What is told by the code that Node's parser gives. */
function failureOf(cause: NodeJS.ErrnoException): PlanstreamError {
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
export function unreadable(error: unknown): Response {
	if (!(error instanceof RequestError)) return problemResponse(asPlanstreamError(error))
	const sentence = 'The address or the host of the request cannot be read. Ask for a path on http://localhost.'
	return problemResponse(new PlanstreamError('bad_request', sentence, {}, { cause: error }))
}

/** Nobody else listens on the socket of a CONNECT, and an error without a listener ends the process. */
function ignoreReset(): void {}
