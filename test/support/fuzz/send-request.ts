import { type Agent, type IncomingMessage, request } from 'node:http'
import type { FuzzRequest } from './random-requests.js'
import type { FuzzResponse } from './response-faults.js'

const NOT_IN_A_PATH = /[^\x21-\xff]/g
const NOT_IN_A_HEADER = /[^\t\x20-\x7e\x80-\xff]/g

/**
 * Sends one request and, of a stream, reads up to its first item. Sends it again when the server closed the kept connection as
 * idle at that very moment.
 */
export function sendFuzzRequest(agent: Agent, url: string, question: FuzzRequest): Promise<FuzzResponse> {
	const { method, path, headers, body } = question
	const sendable = Object.entries(headers).map(([name, value]) => [name, value.replaceAll(NOT_IN_A_HEADER, '')] as const)
	return new Promise((resolve, reject) => {
		const options = { agent, method, path: path.replaceAll(NOT_IN_A_PATH, '%00'), headers: Object.fromEntries(sendable) }
		const outgoing = request(url, options, (incoming) => takeAnswer(incoming, resolve, reject))
		const fail = (error: Error): void => {
			if (outgoing.reusedSocket) resolve(sendFuzzRequest(agent, url, question))
			else reject(error)
		}
		outgoing.on('error', fail).end(body ?? undefined)
	})
}

function takeAnswer(incoming: IncomingMessage, resolve: (answer: FuzzResponse) => void, reject: (error: Error) => void): void {
	const { statusCode: status = 0, headers } = incoming
	const type = headers['content-type'] ?? ''
	let text = ''
	incoming.setEncoding('utf8').on('data', (chunk: string) => {
		text += chunk
		if (!type.startsWith('text/event-stream') || !text.split('\n\n').slice(0, -1).some(isItem)) return
		resolve({ status, type, text })
		incoming.destroy()
	})
	incoming.on('error', reject).on('end', () => resolve({ status, type, text }))
}

/** Skips comments and tRPC's "connected" event, which precede any answer. */
function isItem(block: string): boolean {
	return /^data: /m.test(block) && !block.startsWith('event: connected')
}
