import type { HttpBindings } from '@hono/node-server'
import { PlanstreamError } from '@planstream/shared'
import { type FetchCreateContextFnOptions, fetchRequestHandler } from '@trpc/server/adapters/fetch'
import { Hono } from 'hono'
import { toTrpcError } from '../api/errors.js'
import type { AnswerTurns, Context } from '../api/procedure.js'
import { readSubscriptionCall, type TrpcHttpOptions, TrpcSse } from './sse/trpc.js'
import { MAX_BATCH_CALLS, reportAdapterFailures } from './trpc-errors.js'

/** Serves tRPC over HTTP under `/trpc`: queries, mutations, batches, and subscriptions as server-sent events. */
export function trpcRoutes(options: TrpcHttpOptions): Hono<{ Bindings: HttpBindings }> {
	const { router, getContext, answers } = options
	const onError = reportAdapterFailures(options.onProblem)
	const subscriptions = new TrpcSse(options)
	const app = new Hono<{ Bindings: HttpBindings }>()
	app.on(['GET', 'POST'], '/trpc/*', async (context) => {
		const call = readSubscriptionCall(context.req.raw)
		if (call !== null) return subscriptions.answer(context, call)
		const req = context.req.raw
		const turns = isBatch(req) ? new BatchAnswers(answers.connectionBytes) : undefined
		const createContext = ({ info: { type, isBatchCall } }: FetchCreateContextFnOptions): Context => {
			if (type === 'subscription' && !isBatchCall) throw unreadableSubscription()
			return { ...getContext(context), turns }
		}
		const response = await fetchRequestHandler({
			endpoint: '/trpc',
			req,
			router,
			createContext,
			maxBatchSize: MAX_BATCH_CALLS,
			onError,
		})
		response.headers.delete('connection')
		// tRPC sends some of its errors as JSON without a content type.
		if (!response.ok) response.headers.set('content-type', 'application/json')
		return context.newResponse(response.body, response)
	})
	return app
}

/** Refuses a subscription that would reach tRPC's own adapter, whose streams are neither counted nor watched for backpressure. */
function unreadableSubscription(): Error {
	const message = 'The subscription could not be read. Send GET /trpc/ with its name, and the input as JSON.'
	return toTrpcError(new PlanstreamError('bad_request', message))
}

/** Whether a request has more than one call. Only then are the answers measured. */
function isBatch({ url }: Request): boolean {
	const { pathname, searchParams } = new URL(url)
	return searchParams.get('batch') === '1' && /,|%2c/i.test(pathname)
}

/** Makes the large answers of a batch one after another, and limits the bytes of all its answers. */
class BatchAnswers implements AnswerTurns {
	readonly #limit: number
	#left: number
	#last: Promise<void> = Promise.resolve()

	/** @param limit - bytes of all answers together */
	constructor(limit: number) {
		this.#limit = limit
		this.#left = limit
	}

	async take(): Promise<Disposable> {
		const before = this.#last
		let pass = (): void => undefined
		this.#last = new Promise((resolve) => {
			pass = resolve
		})
		await before
		if (this.#left > 0) return { [Symbol.dispose]: pass }
		pass()
		throw this.#tooLarge()
	}

	count(answer: unknown): void {
		this.#left -= Buffer.byteLength(JSON.stringify(answer) ?? '')
		if (this.#left < 0) throw this.#tooLarge()
	}

	#tooLarge(): PlanstreamError {
		const message = `The answers of this batch exceed ${this.#limit} bytes. Split it into smaller batches.`
		return new PlanstreamError('too_large', message, { limit: this.#limit })
	}
}
