import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate } from 'node:timers/promises'

/** A request as the fake received it. */
export interface FakeOpenAiRequest {
	readonly path: string
	readonly headers: IncomingHttpHeaders
	readonly body: Readonly<Record<string, unknown>>
}

/** The reply to a request. */
export interface FakeOpenAiReply {
	readonly status?: number
	readonly headers?: Readonly<Record<string, string>>
	/** Written one by one. */
	readonly parts: readonly (string | Uint8Array)[]
	/** Ends or cuts the reply after its parts. @defaultValue `'end'` */
	readonly ending?: 'end' | 'hang' | 'cut'
}

/**
 * A fake model server: an HTTP server with the wire format of OpenAI's streamed chat completions that replies as the test says.
 * It runs no model.
 */
export class FakeOpenAi implements AsyncDisposable {
	readonly requests: FakeOpenAiRequest[] = []
	/** Replies in turn; the last one is repeated. */
	replies: FakeOpenAiReply[] = [{ parts: [streamedReply(['Hello', ', ', 'world'])] }]
	readonly #server: Server
	#open = 0

	private constructor(server: Server) {
		this.#server = server
	}

	static async start(): Promise<FakeOpenAi> {
		const server = createServer((request, response) => void double.#answer(request, response))
		const double = new FakeOpenAi(server)
		server.listen(0, '127.0.0.1')
		await once(server, 'listening')
		return double
	}

	get baseUrl(): string {
		return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`
	}

	/** Replies that have not ended. */
	get open(): number {
		return this.#open
	}

	async [Symbol.asyncDispose](): Promise<void> {
		const closed = once(this.#server, 'close')
		this.#server.close()
		this.#server.closeAllConnections()
		await closed
	}

	async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
		let body = ''
		for await (const chunk of request) body += String(chunk)
		this.requests.push({ path: request.url ?? '', headers: request.headers, body: JSON.parse(body) })
		const {
			status = 200,
			headers,
			parts,
			ending = 'end',
		} = (this.replies.length > 1 ? this.replies.shift() : this.replies[0]) ?? { parts: [] }
		this.#open += 1
		response.once('close', () => {
			this.#open -= 1
		})
		response.writeHead(status, { 'content-type': 'text/event-stream', ...headers })
		response.flushHeaders()
		for (const part of parts) {
			response.write(part)
			await setImmediate()
		}
		if (ending === 'end') response.end()
		else if (ending === 'cut') response.socket?.destroy()
	}
}

/** Writes a whole streamed reply like a model server. */
export function streamedReply(deltas: readonly string[], { finish_reason = 'stop', model = 'double-1' } = {}): string {
	const chunk = (fields: object) => `data: ${JSON.stringify({ id: 'c1', object: 'chat.completion.chunk', model, ...fields })}\n\n`
	const choice = (delta: object, reason: string | null = null) => chunk({ choices: [{ index: 0, delta, finish_reason: reason }] })
	const usage = { prompt_tokens: 5, completion_tokens: deltas.length, total_tokens: 5 + deltas.length, details: { cached: 0 } }
	const texts = deltas.map((content) => choice({ content }))
	return [
		choice({ role: 'assistant', content: '' }),
		...texts,
		choice({}, finish_reason),
		chunk({ choices: [], usage }),
		'data: [DONE]\n\n',
	].join('')
}
