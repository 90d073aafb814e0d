import { setMaxListeners } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { asPlanstreamError, type EndFrame, ERRORS, PlanstreamError } from '@planstream/shared'
import { callTRPCProcedure, TRPCError, type TRPCProcedureType } from '@trpc/server'
import { parseConnectionParamsFromUnknown, type TRPCRequestInfo } from '@trpc/server/http'
import { parseTRPCMessage, type TRPCClientOutgoingMessage } from '@trpc/server/rpc'
import type { WebSocket } from 'ws'
import { toTrpcError } from '../../api/errors.js'
import { readClientId, readUrlClientId, toReadRequest } from '../../api/input.js'
import type { AnswerTurns, Context, OnProblem } from '../../api/procedure.js'
import type { AppRouter } from '../../api/router.js'
import { createStreamController, PlanEvents, passOn } from '../../api/streams.js'
import type { Authenticator } from '../../auth/authenticator.js'
import type { AnonymousClients } from '../../connections/anonymous.js'
import type { AnswerBudget } from '../../connections/answer-budget.js'
import type { CarriedStream, ConnectionLimits, Connections } from '../../connections/connections.js'
import { CallLimiter, ReadGate, WriteQueue } from '../../connections/flow.js'
import type { Fanout, Subscriber } from '../../delivery/fanout.js'
import type { ByteSink, Encoding, StreamTarget } from '../../delivery/target.js'
import { encodeItem, getResumeCursor } from '../../hub/stream.js'
import type { Schedule } from '../../ops/clock.js'
import { addLastEventId, type FailedCall, isObject, MAX_BATCH_CALLS, NO_CALL, TrpcFailures } from '../trpc-errors.js'
import { type AcceptedSocket, acceptWebSockets, closeRefused, raiseFrameLimit, resolveToken } from './connection.js'
import { createMessageEncoding, type Framing } from './frames.js'
import type { Upgrade } from './upgrade.js'

/** Concurrent calls per connection. Further calls wait, and nothing more is read meanwhile. */
const MAX_CALLS = 100

/** Limit of a request's id in characters, because every item of its subscription repeats it. */
const MAX_ID_LENGTH = 64

/** Fields that an answer repeats from its request. */
interface RequestHead {
	readonly id: number | string | null
	readonly jsonrpc?: '2.0' | undefined
}

type Answer = { readonly result: object } | { readonly error: object }

/** A call of a procedure. */
interface TrpcCall extends FailedCall {
	readonly type: TRPCProcedureType
	readonly path: string
	readonly head: RequestHead
	readonly batchIndex: number
}

/** Encodes an answer like tRPC's own adapter. */
function encodeAnswer({ id, jsonrpc }: RequestHead, answer: Answer): string {
	return JSON.stringify({ id, jsonrpc, ...answer })
}

/**
 * Creates the encoding of a subscription's items: answers with the text of each item spliced in, so that it is not serialised
 * again.
 */
function createItemEncoding({ id, jsonrpc }: RequestHead, framing: Framing): Encoding {
	const before = `${JSON.stringify({ id, jsonrpc }).slice(0, -1)},"result":{"type":"data","data":{"id":`
	return createMessageEncoding(`trpc-websocket ${before}`, framing, (item) => {
		const cursor = JSON.stringify(getResumeCursor(item) ?? '')
		return `${before}${cursor},"data":${encodeItem(item)}},"id":${cursor}}}`
	})
}

/** Services shared by all sockets. */
interface TrpcService {
	readonly router: AppRouter
	readonly answers: AnswerBudget
	readonly fanout: Fanout
	readonly failures: TrpcFailures
}

/** Authenticates a client; rejects without valid credentials. */
type Authenticate = (params: TRPCRequestInfo['connectionParams']) => Promise<Context>

interface Login {
	readonly authenticate: Authenticate
	/** Whether the client's first message holds its credentials. */
	readonly expectsParams: boolean
}

/** State for calls other than subscriptions. */
interface Work {
	readonly calls: CallLimiter
	/** Makes large answers one after another, each when there is room for it. */
	readonly large: WriteQueue
	readonly closed: AbortController
}

/**
 * A tRPC client on a WebSocket, answered byte for byte like tRPC's own adapter. Every answer takes a turn, and reading pauses
 * while there is no room, so that answers to malformed messages cannot pile up either.
 */
class TrpcSocket {
	readonly accepted: AcceptedSocket
	readonly service: TrpcService
	readonly #subscriptions = new Map<number | string, TrpcSubscription>()
	readonly #reading: ReadGate
	/** Created with the first call. */
	#work: Work | null = null
	/** null after authentication, so that the request can be freed. */
	#login: Authenticate | null
	/** null until the client has sent the credentials that it announced. */
	#context: Promise<Context> | null = null

	constructor(accepted: AcceptedSocket, service: TrpcService, { authenticate, expectsParams }: Login) {
		const { client } = accepted
		this.accepted = accepted
		this.service = service
		this.#reading = new ReadGate(client)
		this.#login = authenticate
		if (!expectsParams) this.#authenticate(() => null)
		client.on('message', (data, isBinary) => this.#receive(data as Buffer, isBinary))
		client.on('close', () => this.#close())
	}

	/** Answers a request, unless the WebSocket is closing. */
	respond(head: RequestHead, answer: Answer): void {
		this.accepted.send(encodeAnswer(head, answer))
	}

	/** Answers a call with an error. */
	refuse(head: RequestHead, thrown: unknown, call: FailedCall): void {
		this.respond(head, { error: this.service.failures.toShape(thrown, call) })
	}

	/** Calls a procedure with the context of this connection. */
	async call(
		{ path, type, input, batchIndex }: TrpcCall,
		signal: AbortSignal | undefined,
		turns?: AnswerTurns,
	): Promise<unknown> {
		const context = await this.#context
		const ctx = turns === undefined ? context : { ...context, turns }
		const getRawInput = (): Promise<unknown> => Promise.resolve(input)
		return callTRPCProcedure({ router: this.service.router, path, type, getRawInput, ctx, signal, batchIndex })
	}

	/** Creates the turns of a stream whose items can be large. */
	createTurns(signal: AbortSignal): AnswerTurns {
		const { large } = this.#working()
		return {
			take: async () => {
				const turn = await large.take(signal)
				signal.throwIfAborted()
				return { [Symbol.dispose]: () => turn?.[Symbol.dispose]() }
			},
			count: () => undefined,
		}
	}

	release(id: RequestHead['id']): void {
		if (id !== null) this.#subscriptions.delete(id)
	}

	#receive(data: Buffer, isBinary: boolean): void {
		if (this.accepted.turns.full) void this.#readNothingUntilRoom()
		const text = data.toString()
		if (!isBinary && text === 'PONG') return
		if (!isBinary && text === 'PING') this.accepted.send('PONG')
		else if (this.#context === null) this.#authenticate(() => readParams(text))
		else this.#handle(text)
	}

	/** Authenticates the client, or closes the WebSocket. */
	#authenticate(readParams: () => TRPCRequestInfo['connectionParams']): void {
		const login = this.#login
		this.#login = null
		this.#context = new Promise<Context>((resolve) => {
			if (login !== null) resolve(login(readParams()))
		})
		this.#context.catch((thrown: unknown) => {
			this.respond({ id: null }, { error: this.service.failures.toStreamShape(thrown, NO_CALL) })
			const { code } = asPlanstreamError(thrown)
			closeRefused(this.accepted.client, code === 'too_many_connections' ? ERRORS[code].close : undefined)
		})
	}

	#handle(text: string): void {
		try {
			const parsed: unknown = JSON.parse(text)
			const messages: unknown[] = Array.isArray(parsed) ? parsed : [parsed]
			if (messages.length > MAX_BATCH_CALLS) this.#refuseBatch(messages)
			else {
				const { transformer } = this.service.router._def._config
				const requests = messages.map((message) => parseTRPCMessage(message, transformer))
				for (const [index, request] of requests.entries()) this.#request(request, index)
			}
		} catch (cause) {
			this.refuse({ id: null }, new TRPCError({ code: 'PARSE_ERROR', cause }), NO_CALL)
		}
	}

	/** Refuses each call of a batch, so that the client does not wait forever for answers. */
	#refuseBatch(messages: readonly unknown[]): void {
		const error = new TRPCError({ code: 'BAD_REQUEST', message: 'Batch call exceeds maximum size' })
		const heads = messages.flatMap((message) => readHead(message) ?? [])
		for (const head of heads.length === 0 ? [{ id: null }] : heads) this.refuse(head, error, NO_CALL)
	}

	#request(request: TRPCClientOutgoingMessage, batchIndex: number): void {
		const { id, jsonrpc, method } = request
		const head = { id, jsonrpc }
		if (typeof id === 'string' && id.length > MAX_ID_LENGTH) this.refuse({ ...head, id: null }, longId(id), NO_CALL)
		else if (id === null) this.refuse(head, new TRPCError({ code: 'PARSE_ERROR', message: '`id` is required' }), NO_CALL)
		else if (method === 'subscription.stop') this.#subscriptions.get(id)?.stop()
		else {
			const { path, input, lastEventId } = request.params
			const call = { head, path, type: method, input: addLastEventId(input, lastEventId), batchIndex }
			if (method === 'subscription') this.#subscribe(id, call)
			else void this.#answer(call)
		}
	}

	#subscribe(id: number | string, call: TrpcCall): void {
		if (this.#subscriptions.has(id)) {
			this.refuse(call.head, new TRPCError({ code: 'BAD_REQUEST', message: `Duplicate id ${id}` }), call)
			return
		}
		const subscription = new TrpcSubscription(this, call)
		this.#subscriptions.set(id, subscription)
		void subscription.start()
	}

	#answer(call: TrpcCall): Promise<void> {
		const { calls, large, closed } = this.#working()
		const { signal } = closed
		return calls.run(async () => {
			using turn = new LargeAnswer(large, signal)
			const text = await this.#encodeAnswer(call, signal, turn)
			using _held = this.service.answers.hold(this.accepted.tenant, text.length)
			using _turn = await this.accepted.turns.take(signal)
			this.accepted.send(text)
		})
	}

	/** Serialises the answer within the call, so that a value too large for a string fails only this call. */
	async #encodeAnswer(call: TrpcCall, signal: AbortSignal, turns: AnswerTurns): Promise<string> {
		try {
			return encodeAnswer(call.head, { result: { type: 'data', data: await this.call(call, signal, turns) } })
		} catch (thrown) {
			return encodeAnswer(call.head, { error: this.service.failures.toShape(thrown, call) })
		}
	}

	#working(): Work {
		if (this.#work !== null) return this.#work
		const closed = new AbortController()
		setMaxListeners(0, closed.signal)
		this.#work = { calls: new CallLimiter(MAX_CALLS, this.#reading), large: new WriteQueue(this.accepted), closed }
		return this.#work
	}

	async #readNothingUntilRoom(): Promise<void> {
		using _hold = this.#reading.hold()
		const turn = await this.accepted.turns.take()
		turn?.[Symbol.dispose]()
	}

	#close(): void {
		this.#work?.closed.abort(new PlanstreamError('slow_consumer', 'The connection was closed before the call was answered.'))
		for (const subscription of this.#subscriptions.values()) subscription.drop()
		this.#subscriptions.clear()
	}
}

const STOPPED: Answer = { result: { type: 'stopped' } }

/** One subscription of a tRPC client on a WebSocket. */
class TrpcSubscription implements StreamTarget, CarriedStream {
	readonly #socket: TrpcSocket
	readonly #call: TrpcCall
	/** Aborts the procedure of a stream without ids. */
	readonly #readerGone: AbortController | null
	/** null for a stream that is sent straight from its procedure. */
	#subscriber: Subscriber | null = null
	#isStarted = false
	#isStopped = false
	/** Ended without an answer. */
	#isCut = false
	#isOver = false

	constructor(socket: TrpcSocket, call: TrpcCall) {
		this.#socket = socket
		this.#call = call
		this.#readerGone = createStreamController(call.path)
	}

	get sink(): ByteSink {
		return this.#socket.accepted
	}

	/** Created on access: a broadcast group keeps one for all its readers, so an idle subscription need not. */
	get encoding(): Encoding {
		return createItemEncoding(this.#call.head, this.#socket.accepted.framings.choose(this))
	}

	get plan_id(): string | null {
		return this.#subscriber?.plan_id ?? null
	}

	get delivered(): number {
		return this.#subscriber?.delivered ?? 0
	}

	async start(): Promise<void> {
		try {
			const signal = this.#readerGone?.signal
			const items = await this.#socket.call(this.#call, signal, signal && this.#socket.createTurns(signal))
			if (this.#isStopped || this.#isOver) this.#finish(STOPPED)
			else await this.#begin(items)
		} catch (thrown) {
			if (this.#isStarted) this.failed(thrown)
			else this.#finish({ error: this.#socket.service.failures.toShape(thrown, this.#call) })
		}
	}

	end(reason: PlanstreamError): void {
		if (this.#subscriber !== null) this.#subscriber.end(reason)
		else {
			this.#isCut = true
			this.#release()
		}
	}

	/** Ends the subscription at the client's request. */
	stop(): void {
		this.#isStopped = true
		this.#readerGone?.abort()
		if (this.#isStarted) this.#finish(STOPPED)
	}

	/** Ends the subscription of a client that is gone. */
	drop(): void {
		this.#isOver = true
		this.#release()
	}

	turn(signal?: AbortSignal): Promise<Disposable | null> {
		return this.#socket.accepted.turns.take(signal)
	}

	/**
	 * Sends nothing after an end that asks to resume, because `stopped` would tell tRPC's client to stop. The connection closes
	 * instead.
	 */
	ended({ resume }: EndFrame): void {
		if (resume) this.#socket.accepted.connection.removeStream(this)
		else this.#finish(STOPPED)
	}

	failed(thrown: unknown): void {
		this.#finish({ error: this.#socket.service.failures.toStreamShape(thrown, this.#call) }, STOPPED)
	}

	async #begin(items: unknown): Promise<void> {
		this.#isStarted = true
		this.#socket.respond(this.#call.head, { result: { type: 'started' } })
		if (items instanceof PlanEvents) this.#deliver(items)
		else await this.#pump(items as AsyncIterable<unknown>)
	}

	#deliver({ principal, input }: PlanEvents): void {
		const { accepted, service } = this.#socket
		const request = toReadRequest(input)
		accepted.connection.addStream(this)
		this.#subscriber = service.fanout.deliver(principal, input.plan_id, request, this)
	}

	/** Sends a stream without ids straight from its procedure to the reader. */
	async #pump(items: AsyncIterable<unknown>): Promise<void> {
		const { connection, turns } = this.#socket.accepted
		const signal = this.#readerGone?.signal
		connection.addStream(this)
		await passOn(items, async (data) => {
			using turn = await turns.take(signal)
			if (turn === null || signal?.aborted === true) return false
			this.#socket.respond(this.#call.head, { result: { type: 'data', data } })
			return true
		})
		if (!this.#isCut) this.#finish(STOPPED)
	}

	/** Frees the id before answering, because the client may reuse it at once. */
	#finish(...answers: readonly Answer[]): void {
		if (this.#isOver) return
		this.#isOver = true
		this.#release()
		this.#socket.release(this.#call.head.id)
		for (const answer of answers) this.#socket.respond(this.#call.head, answer)
	}

	#release(): void {
		this.#readerGone?.abort()
		this.#subscriber?.[Symbol.dispose]()
		const { connection, framings } = this.#socket.accepted
		connection.removeStream(this)
		framings.release(this)
	}
}

/** Turn of one call among those with large answers, held until the answer is written. */
class LargeAnswer implements AnswerTurns, Disposable {
	readonly #queue: WriteQueue
	readonly #signal: AbortSignal
	#turn: Disposable | null = null

	constructor(queue: WriteQueue, signal: AbortSignal) {
		this.#queue = queue
		this.#signal = signal
	}

	async take(): Promise<Disposable> {
		this.#turn = await this.#queue.take(this.#signal)
		this.#signal.throwIfAborted()
		return { [Symbol.dispose]: () => undefined }
	}

	/** Does nothing: the send buffer of the connection limits its answers. */
	count(): void {}

	[Symbol.dispose](): void {
		this.#turn?.[Symbol.dispose]()
	}
}

function readParams(text: string): TRPCRequestInfo['connectionParams'] {
	let message: unknown
	try {
		message = JSON.parse(text)
	} catch (cause) {
		throw new TRPCError({ code: 'PARSE_ERROR', message: 'Malformed TRPCConnectionParamsMessage', cause })
	}
	return parseConnectionParamsFromUnknown(isObject(message) ? message.data : undefined)
}

function longId(id: string): TRPCError {
	const message = `The id "${id.slice(0, MAX_ID_LENGTH)}..." has ${id.length} characters. Use a number, or at most ${MAX_ID_LENGTH} characters.`
	return toTrpcError(new PlanstreamError('bad_request', message, { path: 'id', limit: MAX_ID_LENGTH }))
}

/** Reads the id of a message in a refused batch; null for one that expects no answer. */
function readHead(message: unknown): RequestHead | null {
	if (!isObject(message) || message.method === 'subscription.stop') return null
	const { id, jsonrpc } = message
	if (typeof id !== 'number' && typeof id !== 'string') return null
	return { id, jsonrpc: jsonrpc === '2.0' ? jsonrpc : undefined }
}

/** A mutation may carry a whole plan, so a frame may be as large as a request's body. */
const MAX_FRAME_BYTES = 1024 * 1024
/** Limits of the first message of a client without a key, which holds its key. */
const MAX_FIRST_BYTES = 4096
const MAX_FIRST_FRAGMENTS = 8

export interface TrpcWebSocketOptions {
	readonly router: AppRouter
	readonly fanout: Fanout
	readonly connections: Connections
	readonly answers: AnswerBudget
	readonly limits: ConnectionLimits
	readonly authority: Authenticator
	/** Counts those who have no key; null on a server without keys. */
	readonly anonymous: AnonymousClients | null
	readonly schedule: Schedule
	readonly onProblem: OnProblem
}

/** Serves tRPC over WebSocket. */
export function trpcWebSocket(options: TrpcWebSocketOptions): Upgrade {
	const { router, answers, fanout, limits, authority, anonymous, schedule, onProblem } = options
	const shared = { ...options, transport: 'trpc-websocket' } as const
	const acceptKnown = acceptWebSockets({ ...shared, maxFrameBytes: MAX_FRAME_BYTES })
	const acceptStranger = acceptWebSockets({ ...shared, maxFrameBytes: MAX_FIRST_BYTES, maxFragments: MAX_FIRST_FRAGMENTS })
	const service = { router, answers, fanout, failures: new TrpcFailures(router, onProblem) }
	return (request, _socket, head) => {
		const named = readUrlClientId(request.url)
		const expectsParams = announcesCredentials(request)
		const isStranger = expectsParams && anonymous !== null
		const accept = isStranger ? acceptStranger : acceptKnown
		accept(request, head, (accepted) => {
			const { client } = accepted
			// Messages that follow the first one in the same packet are read before its key is looked up.
			if (isStranger) client.once('message', () => raiseFrameLimit(client, MAX_FRAME_BYTES))
			const stopWaiting = expectsParams ? expectCredentials(client, schedule, limits.credentialsTimeoutMs) : undefined
			const authenticate: Authenticate = async (params) => {
				const principal = await resolveToken(client, { authority, request, token: params?.token, anonymous })
				stopWaiting?.()
				accepted.identify(principal, named ?? readClientId(params?.client_id))
				return { principal }
			}
			new TrpcSocket(accepted, service, { authenticate, expectsParams })
		})
	}
}

/** Whether the URL announces that the client's first message holds its credentials. */
function announcesCredentials({ url = '' }: IncomingMessage): boolean {
	return new URLSearchParams(url.split('?', 2)[1]).get('connectionParams') === '1'
}

/** Closes the WebSocket when credentials do not arrive in time; tRPC itself would wait forever. @returns ends the wait */
function expectCredentials(client: WebSocket, schedule: Schedule, timeoutMs: number): () => void {
	const timer = schedule(
		() => closeRefused(client, ERRORS.unauthorized.close, 'connectionParams did not come in time'),
		timeoutMs,
	)
	const stop = (): void => timer[Symbol.dispose]()
	client.once('close', stop)
	return stop
}
