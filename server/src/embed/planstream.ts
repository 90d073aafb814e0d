import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { HttpBindings } from '@hono/node-server'
import { asPlanstreamError, type EventType, PlanstreamError } from '@planstream/shared'
import type { Hono } from 'hono'
import { authenticateHostCalls, type OnProblem } from '../api/procedure.js'
import { type AppRouter, createRouter, type Services } from '../api/router.js'
import { type App, type AppBindings, createApp } from '../app.js'
import { ArchiveKeys, assertArchiveTrust } from '../auth/archive-keys.js'
import type { Peer } from '../auth/authenticator.js'
import { AnonymousClients, ClientAddresses } from '../connections/anonymous.js'
import { AnswerBudget } from '../connections/answer-budget.js'
import { CONNECTION_LIMITS, Connections } from '../connections/connections.js'
import type { EventHandler } from '../hub/handlers.js'
import { Hub } from '../hub/hub.js'
import type { Principal } from '../hub/principal.js'
import { openLog } from '../log/open.js'
import { describeDropped, type TailLog } from '../log/tail.js'
import { createSteadyClock, keepAliveSchedule, processSchedule } from '../ops/clock.js'
import { formatMetrics, Health } from '../ops/health.js'
import { type OpenLimits, openLimits } from '../ops/limits.js'
import { createLogger, type Logger } from '../ops/logger.js'
import type { Agent } from '../plans/agent.js'
import { ArtifactSweeper } from '../plans/artifact-sweeper.js'
import { Artifacts } from '../plans/artifacts.js'
import { Executor } from '../plans/executor.js'
import { sweepStagedFiles } from '../plans/staged-files.js'
import { InProcessQueue } from '../plans/step-queue.js'
import { type AccessControl, openAccess, readAccessKeys } from './access.js'
import { assertAgents, listAgents } from './agents.js'
import { type DataDirectory, openDataDirectory } from './data-directory.js'
import { HealthEvents, StoreWatch } from './health.js'
import {
	createMountableApp,
	createMountHandler,
	createRequestListener,
	type MountHandler,
	OpenRequests,
	stripBasePath,
} from './http.js'
import { assertOptions, type Planstream, type PlanstreamOptions, type ServerReport, type UpgradeSource } from './options.js'
import { createProblemLog, MAX_REASON } from './problem-log.js'
import { logRequest, logUpgrade } from './request-log.js'
import { Retention } from './retention.js'
import { assertNotBun, readOpenFilesLimit, reportNode, reportOpenFiles } from './runtime.js'
import { attachUpgrades } from './upgrades.js'

/** Connections that carry streams, unless `maxConnections` says otherwise. */
const MAX_CONNECTIONS = 10_000

/** Time limit of a graceful shutdown; whatever is still open after it is cut. */
const STOP_MS = 10_000

/**
 * Creates a Planstream for an application with its own HTTP server and recovers unfinished plans. Without `authorize` or `apiKeys`
 * it only accepts requests from programs on its own machine.
 *
 * @throws PlanstreamError `bad_request` for keys that cannot be read, two agents of the same type, contradicting options, and under
 * Bun, `storage_unavailable`
 * @example
 * ```ts
 * const planstream = await createPlanstream({ store: { kind: 'memory' }, agents: [mine] })
 * const app = new Hono().all('/planstream/*', planstream.handler)
 * planstream.attachWebSockets(serve({ fetch: app.fetch, port: 3000 }), { path: '/planstream' })
 * ```
 */
export async function createPlanstream(options: PlanstreamOptions): Promise<Planstream> {
	assertOptions(options)
	const planstream = await openPlanstream(options)
	try {
		await planstream.start()
	} catch (error) {
		await planstream.close()
		throw error
	}
	return planstream
}

/**
 * Creates a Planstream that has not recovered its plans yet, for a server that must bind its port first.
 *
 * @param resolveToken - accepts tokens that are not in the key file
 */
export async function openPlanstream(
	options: PlanstreamOptions,
	resolveToken: (token: string, peer: Peer) => Principal | null = () => null,
	nodeVersion: string = process.versions.node,
): Promise<OpenPlanstream> {
	assertNotBun()
	assertAgents(options)
	const { logger = createLogger('warn') } = options
	const onProblem = createProblemLog(logger, () => performance.now())
	const limits = openLimits(options.limits, onProblem)
	const keys = await readAccessKeys(options)
	assertArchiveTrust(options.archiveTrust)
	const health = new Health()
	const warn = (message: string): void => logger.warn(message)
	reportNode(nodeVersion, health, warn)
	reportOpenFiles({ limit: readOpenFilesLimit(), maxConnections: options.maxConnections ?? MAX_CONNECTIONS }, health, warn)
	const log = await openLog(options.store, health, limits.limits)
	if (log.dropped !== null) logger.error(log.dropped, describeDropped(log.dropped))
	const directory = await openDataDirectory(options.store)
	await sweepStagedFiles(directory.path).catch((error: unknown) =>
		onProblem('Files of unfinished imports cannot be removed.', asPlanstreamError(error)),
	)
	const access = openAccess(options, {
		keys,
		resolveToken,
		health,
		onProblem,
		warn,
	})
	const anonymous = openAnonymous(options, limits, (message) => logger.info(message))
	const archiveKeys = new ArchiveKeys({ directory: directory.path, trusted: options.archiveTrust, anyMode: options.anyDataMode })
	return new OpenPlanstream(options, { log, health, directory, access, archiveKeys, limits, anonymous, logger, onProblem })
}

/** Resources opened before the parts are assembled. */
interface Opened {
	readonly log: TailLog
	readonly health: Health
	readonly directory: DataDirectory
	readonly access: AccessControl
	readonly archiveKeys: ArchiveKeys
	readonly limits: OpenLimits
	/** null on a server without keys. */
	readonly anonymous: AnonymousClients | null
	readonly logger: Logger
	readonly onProblem: OnProblem
}

/** @throws PlanstreamError `bad_request` for trusted proxies without keys, where nobody is counted by address */
function openAnonymous(
	{ apiKeys, trustedProxies = [] }: PlanstreamOptions,
	{ limits }: OpenLimits,
	inform: (message: string) => void,
): AnonymousClients | null {
	if (apiKeys === undefined) {
		if (trustedProxies.length === 0) return null
		const message = `trustedProxies is [${trustedProxies.join(', ')}], but it limits clients without one of the apiKeys only. Remove it, or set apiKeys.`
		throw new PlanstreamError('bad_request', message, { path: 'trustedProxies' })
	}
	if (trustedProxies.length === 0) {
		inform(
			'No proxy is trusted: clients without a key that come from a private address have only the limits of all together. Set PLANSTREAM_TRUSTED_PROXIES behind a proxy.',
		)
	}
	const clock = (): number => performance.now()
	return new AnonymousClients({ limits: () => limits.anonymous, addresses: new ClientAddresses(trustedProxies), clock })
}

/** A complete server except for its port. */
export class OpenPlanstream implements Planstream {
	readonly hub: Hub
	readonly executor: Executor
	readonly router: AppRouter
	readonly handler: MountHandler
	readonly app: Hono<{ Bindings: HttpBindings }>
	readonly listener: Planstream['listener']
	readonly logger: Logger
	readonly onProblem: OnProblem
	/** Counts connections of anonymous clients; null on a server without keys. */
	readonly anonymous: AnonymousClients | null
	readonly #opened: Opened
	readonly #connections: Connections
	readonly #answers: AnswerBudget
	readonly #inner: App
	readonly #requests = new OpenRequests()
	readonly #retention: Retention
	readonly #sweeper: ArtifactSweeper
	readonly #store: StoreWatch
	readonly #healthEvents: HealthEvents
	readonly #draining = new AbortController()
	/** Errors that nothing caught. */
	#uncaught = 0
	/** Functions that each detach from one server. */
	readonly #attached: (() => void)[] = []
	#recovered: Promise<number> = Promise.resolve(0)
	#drained: Promise<void> | null = null
	#closed: Promise<void> | null = null

	constructor(options: PlanstreamOptions, opened: Opened) {
		const { pingIntervalMs, compression } = CONNECTION_LIMITS
		const { retention, maxConnections = MAX_CONNECTIONS, ...limits } = { pingIntervalMs, compression, ...options }
		const { log, health, directory, access, anonymous, onProblem } = opened
		this.anonymous = anonymous
		const draining = this.#draining.signal
		this.#opened = opened
		this.logger = opened.logger
		this.onProblem = onProblem
		const clock = createSteadyClock((behindMs) => {
			onProblem(`The clock of this machine was set back by ${behindMs} ms. Times go on from before until it has caught up.`)
		})
		this.#answers = new AnswerBudget({
			limits: () => opened.limits.limits.server,
			stallTimeoutMs: CONNECTION_LIMITS.stallTimeoutMs,
			clock: () => performance.now(),
			schedule: processSchedule,
		})
		this.hub = new Hub({
			log,
			clock,
			onProblem,
			health,
			limits: opened.limits.limits,
			reserve: (tenant, bytes) => this.#answers.reserve(tenant, bytes),
		})
		this.#store = new StoreWatch({ log, health, schedule: processSchedule })
		const artifacts = new Artifacts(directory.path)
		this.executor = createExecutor(this.hub, listAgents(options, directory.path, opened.limits.limits), artifacts, {
			...opened,
			clock,
		})
		this.#sweeper = new ArtifactSweeper({ log, artifacts, schedule: processSchedule, clock: Date.now, onProblem })
		this.#healthEvents = new HealthEvents({ hub: this.hub, log, health, onProblem })
		this.#retention = new Retention({
			...retention,
			hub: this.hub,
			log,
			clock,
			schedule: processSchedule,
			onProblem,
		})
		this.#connections = new Connections({
			limit: maxConnections,
			draining,
			clock,
			countsKnownOnly: anonymous !== null,
		})
		const { hub, executor } = this
		const services: Services = {
			hub,
			log,
			executor,
			artifacts,
			connections: this.#connections,
			answers: this.#answers,
			schedule: processSchedule,
			draining,
			onProblem,
		}
		this.router = createRouter(services, authenticateHostCalls(access.authenticator))
		this.#inner = createApp({
			services,
			archiving: { keys: opened.archiveKeys, directory: directory.path, limits: opened.limits.limits },
			authority: access.authenticator,
			anonymous,
			docs: options.docs ?? 'public',
			limits: { ...CONNECTION_LIMITS, pingIntervalMs: limits.pingIntervalMs, compression: limits.compression },
			bodies: {
				timeoutMs: () => opened.limits.limits.server.body_timeout_ms,
				clock: () => performance.now(),
				schedule: processSchedule,
			},
			ready: () => (anonymous === null ? this.#store.check() : this.#store.checkSeldom()),
			metrics: () =>
				formatMetrics(health, {
					...this.report(),
					...this.#countReaders(),
					...this.#measureCaches(),
					uncaught_total: this.#uncaught,
				}),
		})
		const fetch = (request: Request, env: AppBindings) => this.#fetch(request, env)
		this.handler = createMountHandler(fetch)
		this.app = createMountableApp(this.handler)
		this.listener = createRequestListener(fetch)
		for (const [type, handler] of Object.entries(options.handlers ?? {}))
			this.hub.on(type as EventType, handler as EventHandler<EventType>)
	}

	/** Resumes unfinished plans. Requests that arrive earlier wait for it. */
	async start(): Promise<void> {
		this.#recovered = this.#sweeper.adopt().then(() => this.executor.recover())
		const plans = await this.#recovered
		this.logger.info({ plans }, 'Unfinished plans were recovered.')
		this.#sweeper.start()
		this.#retention.start()
		this.#store.start()
	}

	attachWebSockets(server: UpgradeSource, { path: base = '' }: { readonly path?: string } = {}): void {
		const mounted = base.replace(/\/+$/, '')
		const isBelow = (url: string): boolean => url.startsWith(`${mounted}/`)
		const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
			const { url = '/' } = request
			if (isBelow(url)) request.url = stripBasePath(url, mounted)
			const cut = (): void => void socket.destroy()
			socket.on('error', cut)
			const proceed = (): void => {
				socket.off('error', cut)
				logUpgrade(this.logger, request, socket)
				this.#inner.upgrade(request, socket, head)
			}
			this.#recovered.then(proceed).catch(cut)
		}
		const owns = (url: string): boolean => isBelow(url) && this.#inner.isWebSocket(stripBasePath(url, mounted))
		this.#attached.push(attachUpgrades(server, { owns, upgrade }))
	}

	report(): ServerReport {
		const { attempts, deadlines } = this.executor.report()
		const { subscriptions } = this.hub.report()
		const { waiting, plans } = this.#inner.fanout.report()
		// All live readers of one plan share a watcher.
		const watchers = this.#opened.log.metrics.watchers - plans + waiting
		return { connections: this.#connections.size, subscriptions, watchers, attempts, timers: deadlines }
	}

	/** Counts the streams that read from the log because they fell behind, how often that happened, and streams cut as too slow. */
	#countReaders() {
		const { streams, waiting, fell_behind, slow } = this.#inner.fanout.report()
		return { streams_behind: streams - waiting, streams_fell_behind_total: fell_behind, streams_slow_total: slow }
	}

	/** Measures the bounded caches. */
	#measureCaches() {
		const { states, writers } = this.hub.report()
		const { bytes } = this.#opened.log.metrics
		return {
			writers,
			state_plans: states.plans,
			state_bytes: states.bytes,
			tail_bytes: bytes,
			answer_bytes: this.#answers.bytes,
		}
	}

	/** Logs and counts an error that nothing caught. */
	reportUncaught(thrown: unknown): void {
		this.#uncaught += 1
		this.onProblem(
			'An error was not caught. The server shuts down.',
			thrown instanceof Error ? thrown : new Error(String(thrown)),
		)
	}

	async reload(): Promise<void> {
		this.#opened.limits.reload()
		await this.#opened.access.reload()
	}

	/** Rejects when the data directory was moved or deleted. */
	assertPresent(): Promise<void> {
		return this.#opened.log.assertPresent()
	}

	/** Ends all work under way and leaves the logs open. */
	drain(): Promise<void> {
		this.#drained ??= this.#drain()
		return this.#drained
	}

	close(): Promise<void> {
		this.#closed ??= this.#close()
		return this.#closed
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.close()
	}

	async #fetch(request: Request, env: AppBindings): Promise<Response> {
		this.#requests.add(env.outgoing)
		logRequest(this.logger, env.incoming, env.outgoing)
		await this.#recovered
		return this.#inner.fetch(request, env)
	}

	async #drain(): Promise<void> {
		this.logger.info('Planstream is stopping.')
		this.#store[Symbol.dispose]()
		this.#healthEvents[Symbol.dispose]()
		this.#draining.abort(new PlanstreamError('draining', 'The server is stopping. Reconnect to resume.'))
		const ended = [
			this.#connections.waitUntilEmpty(),
			this.executor.stop(),
			this.#retention.stop(),
			this.#sweeper.stop(),
			this.#requests.waitUntilAnswered(),
		]
		await waitAtMost(STOP_MS, Promise.all(ended))
		this.#connections.terminate()
		this.#requests.destroyAll()
	}

	async #close(): Promise<void> {
		await this.drain()
		const { access, limits, log, directory } = this.#opened
		for (const detach of this.#attached) detach()
		access[Symbol.dispose]()
		limits[Symbol.dispose]()
		await log.close()
		await directory[Symbol.asyncDispose]()
		this.logger.info('Planstream has stopped.')
	}
}

function createExecutor(
	hub: Hub,
	agents: readonly Agent[],
	artifacts: Artifacts,
	{ log, health, clock, logger, onProblem }: Opened & { readonly clock: () => number },
): Executor {
	return new Executor({
		hub,
		log,
		agents,
		queue: new InProcessQueue({
			schedule: keepAliveSchedule,
			onProblem: (message, thrown) => onProblem(message, asPlanstreamError(thrown)),
		}),
		artifacts,
		health,
		clock,
		random: Math.random,
		schedule: keepAliveSchedule,
		onProblem,
		onPlanFailed: ({ tenant, plan_id }, { code, message }) =>
			logger.warn({ tenant, plan_id, code }, `Plan ${plan_id} failed: ${message.slice(0, MAX_REASON)}`),
	})
}

/** Waits for a promise, at most this many milliseconds. */
async function waitAtMost(milliseconds: number, awaited: Promise<unknown>): Promise<void> {
	let timer: NodeJS.Timeout | undefined
	const over = new Promise<void>((resolve) => {
		timer = setTimeout(resolve, milliseconds)
	})
	await Promise.race([awaited, over])
	clearTimeout(timer)
}
