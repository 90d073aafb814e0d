import { Agent } from 'node:http'
import { Examples } from './examples.js'
import type { Random } from './mutate.js'
import { type FuzzRequest, RANDOM_REQUESTS } from './random-requests.js'
import { findHttpFault, shorten } from './response-faults.js'
import { sendFuzzRequest } from './send-request.js'
import type { Surface } from './surface.js'

/** Sends whole requests with a changed input, address, method, header or body over one connection. */
class HttpSurface implements Surface {
	readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
	readonly #examples = new Examples()
	readonly #url: string
	readonly #question: (typeof RANDOM_REQUESTS)[keyof typeof RANDOM_REQUESTS]

	constructor(url: string, question: HttpQuestion) {
		this.#url = url
		this.#question = RANDOM_REQUESTS[question]
	}

	async probe(random: Random, age: number): Promise<string | null> {
		const question = this.#question(random, (name) => this.#examples.inputOf(random, name, age))
		const asked = sendFuzzRequest(this.#agent, this.#url, question)
		const fault = await asked.then(findHttpFault, (error: unknown) => `no answer: ${String(error)}`)
		return fault === null ? null : `${described(question)}: ${fault}`
	}

	[Symbol.asyncDispose](): Promise<void> {
		this.#agent.destroy()
		return Promise.resolve()
	}
}

type HttpQuestion = keyof typeof RANDOM_REQUESTS

function described({ method, path, headers, body }: FuzzRequest): string {
	return `${method} ${shorten(path)} ${shorten(headers)} ${shorten(body?.toString('latin1') ?? '')}`
}

export const httpSurface =
	(question: HttpQuestion) =>
	(url: string): Promise<Surface> =>
		Promise.resolve(new HttpSurface(url, question))
