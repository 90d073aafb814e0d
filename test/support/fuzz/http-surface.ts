import { Agent } from 'node:http'
import { Examples } from './examples.js'
import type { Random } from './mutate.js'
import { QUESTIONS, type Question } from './random-requests.js'
import { httpFault, shown } from './response-faults.js'
import { askBriefly } from './send-request.js'
import type { Surface } from './surface.js'

/** Whole requests whose input, address, method, header or body was changed, over one connection. */
class HttpSurface implements Surface {
	readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
	readonly #examples = new Examples()
	readonly #url: string
	readonly #question: (typeof QUESTIONS)[keyof typeof QUESTIONS]

	constructor(url: string, question: HttpQuestion) {
		this.#url = url
		this.#question = QUESTIONS[question]
	}

	async probe(random: Random, age: number): Promise<string | null> {
		const question = this.#question(random, (name) => this.#examples.inputOf(random, name, age))
		const asked = askBriefly(this.#agent, this.#url, question)
		const fault = await asked.then(httpFault, (error: unknown) => `no answer: ${String(error)}`)
		return fault === null ? null : `${described(question)}: ${fault}`
	}

	[Symbol.asyncDispose](): Promise<void> {
		this.#agent.destroy()
		return Promise.resolve()
	}
}

type HttpQuestion = keyof typeof QUESTIONS

function described({ method, path, headers, body }: Question): string {
	return `${method} ${shown(path)} ${shown(headers)} ${shown(body?.toString('latin1') ?? '')}`
}

export const httpSurface =
	(question: HttpQuestion) =>
	(url: string): Promise<Surface> =>
		Promise.resolve(new HttpSurface(url, question))
