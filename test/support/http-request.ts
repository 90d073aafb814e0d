import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http'
import type { Problem } from '@planstream/shared'

export interface HttpResponse {
	readonly status: number
	readonly headers: IncomingHttpHeaders
	readonly text: string
	/** The body as JSON, or its text when it is not JSON. */
	readonly body: unknown
}

export interface RequestOptions {
	readonly method?: string
	readonly headers?: OutgoingHttpHeaders
	/** Text and bytes are sent unchanged, other values as JSON; an array of bytes is sent in chunks, without a length. */
	readonly body?: unknown
}

/** Sends one request on its own connection, with any headers and bytes a test wants to send. */
export function sendRequest(
	server: { readonly url: string },
	path: string,
	{ method = 'GET', headers = {}, body }: RequestOptions = {},
): Promise<HttpResponse> {
	return new Promise((resolve, reject) => {
		const outgoing = request(server.url, { path, method, headers: { connection: 'close', ...headers } }, (incoming) => {
			let text = ''
			incoming.setEncoding('utf8')
			incoming.on('data', (chunk: string) => {
				text += chunk
			})
			incoming.on('error', reject)
			incoming.on('end', () => {
				resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text, body: parsed(text) })
			})
		})
		outgoing.on('error', reject)
		if (Array.isArray(body) && body.every((chunk) => chunk instanceof Uint8Array)) for (const chunk of body) outgoing.write(chunk)
		else if (body !== undefined) {
			const bytes = Buffer.from(typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body))
			outgoing.setHeader('content-length', bytes.length)
			outgoing.write(bytes)
		}
		outgoing.end()
	})
}

export function post(server: { readonly url: string }, path: string, body?: unknown): Promise<HttpResponse> {
	return sendRequest(server, path, { method: 'POST', body })
}

/** Returns the problem in a response, on its own or in tRPC's envelope; undefined when there is none. */
export function getProblem({ body }: Pick<HttpResponse, 'body'>): Problem | undefined {
	const told = body as Partial<Problem> & { readonly error?: { readonly data?: { readonly problem?: Problem } } }
	return told.error?.data?.problem ?? (told.code === undefined ? undefined : (told as Problem))
}

function parsed(text: string): unknown {
	try {
		return JSON.parse(text)
	} catch {
		return text
	}
}
