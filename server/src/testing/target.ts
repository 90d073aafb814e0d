import { randomUUID } from 'node:crypto'
import type { PublishOutput } from '@planstream/shared'

/** A response of the server. */
export interface Answer {
	readonly status: number
	readonly headers: Headers
	readonly body: Readonly<Record<string, unknown>>
}

/** The server under test, over HTTP. */
export class Target {
	readonly url: string
	readonly #headers: Readonly<Record<string, string>>

	constructor(url: string, token?: string) {
		this.url = url.replace(/\/+$/, '')
		this.#headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
	}

	/** Creates the id of a new plan. */
	newPlan(): string {
		return `conformance_${randomUUID()}`
	}

	async ask(
		path: string,
		{ method = 'GET', headers = {}, body }: { method?: string; headers?: Record<string, string>; body?: unknown } = {},
	): Promise<Answer> {
		const content = body === undefined ? {} : { 'content-type': 'application/json' }
		const answer = await fetch(this.url + path, {
			method,
			headers: { ...this.#headers, ...content, ...headers },
			...(body !== undefined && { body: JSON.stringify(body) }),
		})
		const text = await answer.text()
		const isJson = answer.headers.get('content-type')?.includes('json') === true
		return { status: answer.status, headers: answer.headers, body: isJson ? (JSON.parse(text) as Answer['body']) : {} }
	}

	/** Publishes events to an external plan. */
	send(plan_id: string, events: readonly object[], more: object = {}): Promise<Answer> {
		return this.ask(`/api/v1/streaming/plans/${plan_id}/events`, { method: 'POST', body: { events, ...more } })
	}

	/** Publishes events that the server must accept. */
	async publish(plan_id: string, events: readonly object[]): Promise<PublishOutput> {
		const { status, body } = await this.send(plan_id, events)
		if (status !== 200) throw new Error(`Publishing failed with status ${status}: ${JSON.stringify(body)}`)
		return body as unknown as PublishOutput
	}
}
