import type { HttpBindings } from '@hono/node-server'
import { asPlanstreamError, PlanstreamError } from '@planstream/shared'
import { contract, type ProcedureName } from '@planstream/shared/schemas'
import { type FetchCreateContextFnOptions, fetchRequestHandler } from '@trpc/server/adapters/fetch'
import { Hono } from 'hono'
import { toTrpcBatchProblemResponse, toTrpcError, toTrpcProblemResponse, unknownProcedure } from '../api/errors.js'
import { type AnswerTurns, assertAllowed, type Context, type OnProblem, reportFailures } from '../api/procedure.js'
import type { RequestBody } from '../api/request-body.js'
import type { GetBody } from '../api/rest.js'
import type { AnswerBudget } from '../connections/answer-budget.js'
import type { Principal } from '../hub/principal.js'
import { readSubscriptionCall, type TrpcHttpOptions, TrpcSse } from './sse/trpc.js'
import { MAX_BATCH_CALLS, reportAdapterFailures } from './trpc-errors.js'

/** Serves tRPC over HTTP under `/trpc`: queries, mutations, batches, and subscriptions as server-sent events. */
export function trpcRoutes(options: TrpcHttpOptions & { readonly getBody: GetBody }): Hono<{ Bindings: HttpBindings }> {
	const { router, getContext, getBody, answers } = options
	const onError = reportAdapterFailures(options.onProblem)
	const subscriptions = new TrpcSse(options)
	const app = new Hono<{ Bindings: HttpBindings }>()
	app.on(['GET', 'POST'], '/trpc/*', async (context) => {
		const call = readSubscriptionCall(context.req.raw)
		if (call !== null) return subscriptions.answer(context, call)
		const refused = context.req.method === 'POST' ? refuseCalls(context.req.raw, getContext(context), options.onProblem) : null
		if (refused !== null) return refused
		const req = await readCalls(context.req.raw, getBody(context))
		using turns = isBatch(req) ? new BatchAnswers(answers, getContext(context).principal) : undefined
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
			allowMethodOverride: true, // for queries whose input is too long for an address
			onError,
		})
		response.headers.delete('connection')
		// tRPC sends some of its errors as JSON without a content type.
		if (!response.ok) response.headers.set('content-type', 'application/json')
		return context.newResponse(response.body, response)
	})
	return app
}

/** Reads the body of a call. */
async function readCalls(request: Request, body: RequestBody): Promise<Request> {
	const { method, url, headers } = request
	if (method !== 'POST') return request
	const text = await body.readText()
	return new Request(url, { method, headers, ...(text !== '' && { body: text }) })
}

/**
 * Refuses calls by their names alone, before their body is read. A batch in which some call is allowed is answered call by call.
 *
 * @returns null when a call is allowed
 */
function refuseCalls({ url }: Request, { principal, requestId }: Context, onProblem: OnProblem): Response | null {
	const { pathname, searchParams } = new URL(url)
	const isBatch = searchParams.get('batch') === '1'
	const path = decodePath(pathname.slice(PREFIX.length))
	const refused: (readonly [string, PlanstreamError])[] = []
	for (const name of isBatch ? path.split(',') : [path]) {
		const error = findRefusal(name, principal)
		if (error === null) return null
		refused.push([name, reportFailures(error, onProblem, name, requestId)])
	}
	const [first] = refused
	if (first === undefined || refused.length > MAX_BATCH_CALLS) return null
	return isBatch ? toTrpcBatchProblemResponse(refused) : toTrpcProblemResponse(first[1], first[0])
}

function findRefusal(name: string, principal: Principal): PlanstreamError | null {
	if (!Object.hasOwn(contract, name)) return unknownProcedure(name)
	try {
		assertAllowed(principal, name as ProcedureName)
		return null
	} catch (refused) {
		return asPlanstreamError(refused)
	}
}

function decodePath(path: string): string {
	try {
		return decodeURIComponent(path)
	} catch {
		return path
	}
}

const PREFIX = '/trpc/'

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
class BatchAnswers implements AnswerTurns, Disposable {
	readonly #answers: AnswerBudget
	readonly #tenant: string
	/** Bytes of all answers together. */
	readonly #limit: number
	readonly #held: Disposable[] = []
	#left: number
	#last: Promise<void> = Promise.resolve()

	constructor(answers: AnswerBudget, { tenant }: Principal) {
		this.#answers = answers
		this.#tenant = tenant
		this.#limit = answers.connectionBytes
		this.#left = this.#limit
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
		const bytes = Buffer.byteLength(JSON.stringify(answer) ?? '')
		this.#left -= bytes
		if (this.#left < 0) throw this.#tooLarge()
		this.#held.push(this.#answers.hold(this.#tenant, bytes))
	}

	[Symbol.dispose](): void {
		for (const held of this.#held) held[Symbol.dispose]()
	}

	#tooLarge(): PlanstreamError {
		const message = `The answers of this batch exceed ${this.#limit} bytes. Split it into smaller batches.`
		return new PlanstreamError('too_large', message, { limit: this.#limit })
	}
}
