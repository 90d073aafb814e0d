import type { Server } from 'node:http'
import path from 'node:path'
import { asPlanstreamError, PlanstreamError } from '@planstream/shared'
import type { OnProblem } from './api/procedure.js'
import { createApp } from './app.js'
import type { ApiKey } from './auth/api-key.js'
import { CONNECTION_LIMITS } from './connections/limits.js'
import { Connections } from './connections/registry.js'
import { processSchedule } from './connections/schedule.js'
import type { Deliveries } from './delivery/deliveries.js'
import { Hub } from './hub/hub.js'
import { LiveLog } from './log/live-log.js'
import { type LogLocation, openLog } from './log/open.js'
import type { TailLog } from './log/tail.js'
import { Health } from './ops/health.js'
import { createLogger, type Logger } from './ops/logger.js'
import { metricsText } from './ops/metrics-text.js'
import type { Agent } from './plans/agent.js'
import { Artifacts } from './plans/artifacts.js'
import { Executor } from './plans/executor.js'
import { PROCESS_TIMER } from './plans/output.js'
import { InProcessQueue } from './plans/step-queue.js'
import { agentsOf, assertAgents } from './server/agents.js'
import { type DataDirectory, openDataDirectory } from './server/data-directory.js'
import { type Entrance, openEntrance, readEntranceKeys } from './server/entrance.js'
import { HealthEvents } from './server/health-events.js'
import { createHttpServer, listen, OpenRequests, urlOf } from './server/listen.js'
import { Retention, type RetentionLimits } from './server/retention.js'
import { ServerFile } from './server/server-file.js'
import { StoreWatch } from './server/store-watch.js'

/** Time for everything to end in order before it is cut. */
const STOP_MS = 10_000

export interface ServerOptions {
	/** Where plans are kept: in memory, or in the file of a directory. */
	readonly data: LogLocation
	/** The address to listen on: a name of this machine for itself, or with `apiKeys` any. @defaultValue `'127.0.0.1'` */
	readonly host?: string
	/** 0 picks a free one. @defaultValue 3000 */
	readonly port?: number
	/** The file of the keys that let requests in; it is read again when it changes. @defaultValue none, and this machine alone gets in */
	readonly apiKeys?: string | undefined
	/** With `apiKeys`, origins of pages that may use the server besides its own and those of this machine. @defaultValue none */
	readonly origins?: readonly string[] | undefined
	/** What steps may name as their `agent_type`, beside the built-in agents. @defaultValue none */
	readonly agents?: readonly Agent[]
	/** Whether plans may use the test and demonstration agent `scripted`. @defaultValue false */
	readonly scripted?: boolean
	/** The folder that corpus research reads when a plan names none. @defaultValue `docs` in the current directory */
	readonly corpus?: string
	/** Milliseconds between two pings of a WebSocket. @defaultValue 30 000 */
	readonly pingIntervalMs?: number
	/** Connections that carry streams, at one time. @defaultValue 10 000 */
	readonly maxConnections?: number
	/** How long plans are kept. */
	readonly retention?: RetentionLimits
	/** @defaultValue warnings and errors, on standard error */
	readonly logger?: Logger
}

/** What is open at the moment; all zero when nobody is connected and no plan runs. */
export interface ServerReport {
	readonly connections: number
	readonly subscriptions: number
	/** Those who wait for a log to grow. */
	readonly watchers: number
	/** Step attempts that run. */
	readonly attempts: number
	/** Step attempts that wait for their time. */
	readonly timers: number
}

/** A server that listens. Disposing it stops it in order. */
export interface RunningServer extends AsyncDisposable {
	readonly url: string
	readonly port: number
	readonly hub: Hub
	readonly executor: Executor
	report(): ServerReport
	/**
	 * Stops in order: new work is refused, streams end so that their readers resume elsewhere, step attempts are cut and run again after
	 * the next start, then the logs are closed. What takes longer than 10 seconds is cut. A second call waits for the first.
	 */
	close(): Promise<void>
}

/**
 * Starts a server and goes on with the plans that had not come to their end.
 *
 * @throws PlanstreamError `bad_request` for a host that is not loopback, for keys that cannot be read and for two agents of one type, `conflict` for a port in use, `storage_unavailable`
 * @example
 * ```ts
 * await using server = await startServer({ data: { kind: 'memory' }, port: 0 })
 * console.log(server.url)
 * ```
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
	const { host = '127.0.0.1', port = 3000, logger = createLogger('warn') } = options
	assertAgents(options)
	const keys = await readEntranceKeys({ ...options, host })
	const health = new Health()
	const log = await openLog(options.data, health)
	const directory = await openDataDirectory(options.data)
	const server = new PlanstreamServer({ ...options, logger }, { log, directory, keys, health })
	try {
		await server.listen(host, port)
	} catch (error) {
		await server.close()
		throw error
	}
	return server
}

type Composition = ServerOptions & { readonly logger: Logger }

/** What was opened for a server before it is put together. */
interface Opened {
	readonly log: TailLog
	readonly directory: DataDirectory
	readonly keys: readonly ApiKey[]
	readonly health: Health
}

/** Everything that makes up a server, put together. */
class PlanstreamServer implements RunningServer {
	readonly hub: Hub
	readonly executor: Executor
	readonly #log: TailLog
	/** The same logs, and that of the server itself. */
	readonly #plans: LiveLog
	readonly #directory: DataDirectory
	readonly #entrance: Entrance
	readonly #connections: Connections
	readonly #deliveries: Deliveries
	readonly #http: Server
	readonly #requests: OpenRequests
	readonly #retention: Retention
	readonly #store: StoreWatch
	readonly #healthEvents: HealthEvents
	readonly #serverFile: ServerFile
	readonly #onProblem: OnProblem
	readonly #draining = new AbortController()
	#recovered: Promise<void> = Promise.resolve()
	#closed: Promise<void> | null = null
	#url = ''
	#port = 0

	constructor(options: Composition, { log, directory, keys, health }: Opened) {
		const { logger, maxConnections = 10_000, pingIntervalMs = CONNECTION_LIMITS.pingIntervalMs } = options
		const onProblem: OnProblem = (sentence, error) => logger.error({ err: error }, sentence)
		const draining = this.#draining.signal
		this.#log = log
		this.#onProblem = onProblem
		this.#directory = directory
		this.#serverFile = new ServerFile(options.data)
		const holder = (token: string) => this.#serverFile.find(token)
		this.#entrance = openEntrance(options, { keys, holder }, onProblem)
		this.#plans = new LiveLog(log)
		this.hub = new Hub({ log: this.#plans, clock: Date.now, onProblem, health })
		this.#store = new StoreWatch({ log, health, schedule: processSchedule })
		const artifacts = new Artifacts(path.join(directory.path, 'artifacts'))
		this.executor = createExecutor(this.hub, { ...options, artifacts, health }, directory.path, onProblem)
		this.#healthEvents = new HealthEvents({ hub: this.hub, health, onProblem })
		this.#retention = new Retention({
			...options.retention,
			hub: this.hub,
			clock: Date.now,
			schedule: processSchedule,
			onProblem,
		})
		this.#connections = new Connections({ limit: maxConnections, draining, clock: Date.now })
		const { fetch, upgrade, deliveries } = createApp({
			services: {
				hub: this.hub,
				executor: this.executor,
				connections: this.#connections,
				schedule: processSchedule,
				draining,
				onProblem,
			},
			artifacts,
			authority: this.#entrance.authority,
			limits: { ...CONNECTION_LIMITS, pingIntervalMs },
			ready: () => this.#store.check(),
			metrics: () => metricsText(health, { ...this.report(), ...this.#memory() }),
		})
		this.#deliveries = deliveries
		this.#http = createHttpServer(async (request, env) => {
			await this.#recovered
			return fetch(request, env)
		})
		this.#requests = new OpenRequests(this.#http)
		this.#http.on('upgrade', (request, socket, head) => {
			const cut = (): void => void socket.destroy()
			socket.on('error', cut)
			this.#recovered.then(() => upgrade(request, socket, head)).catch(cut)
		})
	}

	get url(): string {
		return this.#url
	}

	get port(): number {
		return this.#port
	}

	/** Takes the port first: a server that cannot have it must not have run anything. Who asks before the plans go on waits. */
	async listen(host: string, port: number): Promise<void> {
		this.#port = await listen(this.#http, host, port)
		this.#url = urlOf(host, this.#port)
		this.#recovered = this.executor.recover()
		await this.#recovered
		this.#retention.start()
		this.#store.start()
		await this.#serverFile.write(this.#url).catch((error: unknown) => {
			const sentence = 'server.json cannot be written, so the command line does not find this server by its data directory.'
			this.#onProblem(sentence, asPlanstreamError(error))
		})
	}

	report(): ServerReport {
		const { attempts, deadlines } = this.executor.report()
		const { subscriptions } = this.hub.report()
		const { waiting, plans } = this.#deliveries.report()
		// The readers of one plan watch it together.
		const watchers = this.#log.metrics.watchers + this.#plans.liveWatchers - plans + waiting
		return { connections: this.#connections.size, subscriptions, watchers, attempts, timers: deadlines }
	}

	/** What the bounded caches hold. */
	#memory() {
		const { states, writers } = this.hub.report()
		const { characters } = this.#log.metrics
		return { writers, state_plans: states.plans, state_bytes: states.bytes, tail_characters: characters }
	}

	close(): Promise<void> {
		this.#closed ??= this.#stop()
		return this.#closed
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.close()
	}

	async #stop(): Promise<void> {
		this.#store[Symbol.dispose]()
		this.#healthEvents[Symbol.dispose]()
		this.#draining.abort(new PlanstreamError('draining', 'The server is stopping. Connect again to go on.'))
		this.#http.close()
		const ended = [this.#connections.empty(), this.executor.stop(), this.#retention.stop(), this.#requests.answered()]
		await within(STOP_MS, Promise.all(ended))
		this.#connections.terminate()
		this.#http.closeAllConnections()
		this.#entrance[Symbol.dispose]()
		await this.#serverFile.remove()
		await this.#log.close()
		await this.#directory[Symbol.asyncDispose]()
	}
}

function createExecutor(
	hub: Hub,
	options: Composition & { readonly artifacts: Artifacts; readonly health: Health },
	directory: string,
	onProblem: OnProblem,
): Executor {
	return new Executor({
		hub,
		agents: agentsOf(options, directory),
		queue: new InProcessQueue({
			timer: PROCESS_TIMER,
			onProblem: (sentence, thrown) => onProblem(sentence, asPlanstreamError(thrown)),
		}),
		artifacts: options.artifacts,
		health: options.health,
		clock: Date.now,
		random: Math.random,
		timer: PROCESS_TIMER,
		onProblem,
	})
}

/** Waits for something, but not longer than this many milliseconds. */
async function within(milliseconds: number, awaited: Promise<unknown>): Promise<void> {
	let timer: NodeJS.Timeout | undefined
	const over = new Promise<void>((resolve) => {
		timer = setTimeout(resolve, milliseconds)
	})
	await Promise.race([awaited, over])
	clearTimeout(timer)
}
