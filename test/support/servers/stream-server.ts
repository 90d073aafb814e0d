import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { PlanstreamError, type PublishOutput } from '@planstream/shared'
import { eventInput } from '@planstream/shared/schemas'
import { expect } from 'vitest'
import type { BodyTiming } from '../../../server/src/api/request-body.js'
import type { Services } from '../../../server/src/api/router.js'
import { type App, createApp } from '../../../server/src/app.js'
import { type Authenticator, LOCAL_AUTHENTICATOR } from '../../../server/src/auth/authenticator.js'
import {
	CONNECTION_LIMITS,
	type ConnectionLimits,
	type ConnectionReport,
	Connections,
} from '../../../server/src/connections/connections.js'
import { createHttpServer, createRequestListener, listen } from '../../../server/src/embed/http.js'
import type { Hub } from '../../../server/src/hub/hub.js'
import { LOCAL_PRINCIPAL } from '../../../server/src/hub/principal.js'
import { openLog } from '../../../server/src/log/open.js'
import type { TailLog } from '../../../server/src/log/tail.js'
import { processSchedule } from '../../../server/src/ops/clock.js'
import { TestPlanstream } from '../plans/test-planstream.js'
import { type BudgetOptions, createAnswerBudget } from './answer-budget.js'

export interface StreamServerOptions {
	readonly maxConnections?: number
	readonly limits?: Partial<ConnectionLimits>
	/** Bytes of answers that may wait. */
	readonly budget?: BudgetOptions
	/** @defaultValue the user of this machine, without a key */
	readonly authority?: Authenticator
	/** Limits of time for the bodies of requests. */
	readonly bodies?: Partial<BodyTiming>
}

/** A server with every transport on a real port that exposes its open connections and subscriptions. */
export class StreamServer implements AsyncDisposable {
	readonly connections: Connections
	/** The server's ends of all open connections. */
	readonly sockets = new Set<Socket>()
	/** Every address with its method. */
	readonly routes: App['routes']
	readonly deliveries: App['fanout']
	/** The services of its procedures. */
	readonly services: Services
	readonly #planstream: TestPlanstream
	readonly #log: TailLog
	readonly #http: Server
	readonly #draining = new AbortController()

	private constructor(
		log: TailLog,
		{ maxConnections = 100, limits, budget, authority = LOCAL_AUTHENTICATOR, bodies }: StreamServerOptions,
	) {
		this.#log = log
		this.#planstream = new TestPlanstream(log, [])
		const { hub, executor, artifacts, archiving, problems } = this.#planstream
		const draining = this.#draining.signal
		const onProblem = (sentence: string, error?: Error) => {
			const isRefusal = error instanceof PlanstreamError && ['unauthorized', 'forbidden'].includes(error.code)
			if (!isRefusal) problems.push(`${sentence} ${error?.stack ?? ''}`)
		}
		this.connections = new Connections({ limit: maxConnections, draining, clock: Date.now })
		const answers = createAnswerBudget({ stallTimeoutMs: limits?.stallTimeoutMs, ...budget })
		this.services = {
			hub,
			log,
			executor,
			artifacts,
			connections: this.connections,
			answers,
			schedule: processSchedule,
			draining,
			onProblem,
		}
		const { fetch, upgrade, routes, fanout } = createApp({
			services: this.services,
			archiving,
			authority,
			limits: { ...CONNECTION_LIMITS, ...limits },
			bodies: { timeoutMs: () => 30_000, clock: () => performance.now(), schedule: processSchedule, ...bodies },
			ready: () => Promise.resolve(),
			metrics: () => '',
		})
		this.routes = routes
		this.deliveries = fanout
		this.#http = createHttpServer(createRequestListener(fetch))
		this.#http.on('upgrade', upgrade)
		this.#http.on('connection', (socket) => {
			this.sockets.add(socket)
			socket.once('close', () => this.sockets.delete(socket))
		})
	}

	static async start(options: StreamServerOptions = {}): Promise<StreamServer> {
		const server = new StreamServer(await openLog({ kind: 'memory' }), options)
		await listen(server.#http, '127.0.0.1', 0)
		return server
	}

	get port(): number {
		return (this.#http.address() as AddressInfo).port
	}

	get hub(): Hub {
		return this.#planstream.hub
	}

	/** The connected clients. */
	report(): readonly ConnectionReport[] {
		return this.connections.report(LOCAL_PRINCIPAL.tenant)
	}

	/** The watchers that wait for a log to grow. */
	get watchers(): number {
		const { waiting, plans } = this.deliveries.report()
		return this.#log.metrics.watchers - plans + waiting
	}

	/** Unexpected errors. */
	get problems(): readonly string[] {
		return this.#planstream.problems
	}

	get url(): string {
		return `http://127.0.0.1:${this.port}`
	}

	/** Publishes events to an external plan. */
	publish(plan_id: string, sent: readonly Record<string, unknown>[]): Promise<PublishOutput> {
		return this.hub.publish(LOCAL_PRINCIPAL, { plan_id, sent, events: sent.map((event) => eventInput.parse(event)) })
	}

	/** Returns the stored texts of a plan's events. */
	async texts(plan_id: string): Promise<string[]> {
		const texts: string[] = []
		for (let seq = 0; ; ) {
			const { events } = await this.#log.read({ tenant: LOCAL_PRINCIPAL.tenant, plan_id }, { seq }, 1_000_000)
			if (events.length === 0) return texts
			for (const { text } of events) texts.push(text)
			seq += events.length
		}
	}

	/** Ends every stream so that its reader resumes, and rejects new ones. */
	drain(): void {
		this.#draining.abort(new PlanstreamError('draining', 'The server is stopping. Reconnect to resume.'))
	}

	/** Resolves once `read` returns the expected value; it is polled while other work continues. */
	async until<Value>(read: () => Value, expected: Value): Promise<void> {
		await expect.poll(read, { interval: 1, timeout: 10_000 }).toEqual(expected)
	}

	/** Resolves when no reader has left anything behind. */
	async quiet(): Promise<void> {
		await this.until(() => this.#open(), { connections: 0, subscriptions: 0, watchers: 0 })
		expect(this.problems).toEqual([])
	}

	#open() {
		const { subscriptions } = this.hub.report()
		return { connections: this.connections.size, subscriptions, watchers: this.watchers }
	}

	async [Symbol.asyncDispose](): Promise<void> {
		const closed = once(this.#http, 'close')
		this.#http.close()
		this.connections.terminate()
		this.#http.closeAllConnections()
		for (const socket of this.sockets) socket.destroy()
		await closed
		await this.#planstream[Symbol.asyncDispose]()
	}
}

/** Tracks the maximum of a value, read in every turn of the event loop. */
export function trackMaximum(read: () => number): { readonly most: number } & Disposable {
	let most = 0
	let next: NodeJS.Immediate
	const look = (): void => {
		most = Math.max(most, read())
		next = setImmediate(look)
	}
	look()
	return {
		get most() {
			return most
		},
		[Symbol.dispose]: () => clearImmediate(next),
	}
}
