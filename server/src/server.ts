import { readFileSync } from 'node:fs'
import type { Server } from 'node:http'
import * as z from 'zod'
import { assertHost, warnOfPlainHttp } from './embed/access.js'
import { ServerFile } from './embed/data-directory.js'
import { createHttpServer, formatUrl, listen } from './embed/http.js'
import { assertOptions, type PlanstreamOptions, type ServerReport } from './embed/options.js'
import { type OpenPlanstream, openPlanstream } from './embed/planstream.js'
import { assertFixedNode } from './embed/runtime.js'
import type { Hub } from './hub/hub.js'
import { processSchedule } from './ops/clock.js'
import { createLogger } from './ops/logger.js'
import { PROOF_HEADER } from './ops/server-file.js'
import type { Executor } from './plans/executor.js'

export interface ServerOptions extends PlanstreamOptions {
	/** Host to listen on: a loopback name, or any host with `apiKeys` or `authorize`. @defaultValue `'127.0.0.1'` */
	readonly host?: string
	/** 0 picks a free one. @defaultValue 3000 */
	readonly port?: number
	/** Milliseconds that an HTTP connection may be idle between two requests. @defaultValue 72,000 */
	readonly keepAliveMs?: number
	/** Whether to listen beyond this machine on a version of Node that lacks security fixes. @defaultValue false */
	readonly allowOldNode?: boolean
	/**
	 * With keys, whether `server.json` in the data directory holds a token with which the command line on this machine may read, control
	 * and keep plans of the tenant `default`. @defaultValue true
	 */
	readonly localToken?: boolean
}

const ownOptions = {
	host: z.string().min(1).optional(),
	port: z.int().min(0).max(65_535).optional(),
	keepAliveMs: z.int().min(1000).max(3_600_000).optional(),
	allowOldNode: z.boolean().optional(),
	localToken: z.boolean().optional(),
} satisfies Record<Exclude<keyof ServerOptions, keyof PlanstreamOptions>, z.ZodType>

/** A listening server. Disposing it shuts it down gracefully. */
export interface RunningServer extends AsyncDisposable {
	readonly url: string
	readonly port: number
	readonly hub: Hub
	readonly executor: Executor
	report(): ServerReport
	/** Reloads the files of keys and limits at once. An unusable file is logged and changes nothing at first. Never rejects. */
	reload(): Promise<void>
	/**
	 * Shuts down gracefully: refuses new work, ends streams so that clients resume elsewhere, aborts step attempts, which run again
	 * after the next start, then closes the logs. Whatever is still open after 10 seconds is cut. A second call waits for the
	 * first.
	 */
	close(): Promise<void>
	/**
	 * Logs and counts an error that nothing caught, then shuts down. Health and metrics are answered until the end. For the owner of
	 * the process, which should exit when it resolves.
	 */
	fail(thrown: unknown): Promise<void>
}

/**
 * Starts a server and resumes unfinished plans.
 *
 * @throws PlanstreamError `bad_request` for a host that is not loopback, for keys that cannot be read and for two agents of the
 * same type, `conflict` for a port in use, `storage_unavailable`
 * @example
 * ```ts
 * await using server = await startServer({ store: { kind: 'memory' }, port: 0 })
 * console.log(server.url)
 * ```
 */
export async function startServer(options: ServerOptions, nodeVersion: string = process.versions.node): Promise<RunningServer> {
	assertOptions(options, ownOptions)
	const { host = '127.0.0.1', port = 3000, allowOldNode = false } = options
	assertHost(host, options)
	assertFixedNode(host, nodeVersion, allowOldNode)
	warnOfPlainHttp(host, options, (message) => (options.logger ?? createLogger('warn')).warn(message))
	const file = new ServerFile(options.store)
	const planstream = await openPlanstream(options, (token, peer) => file.find(token, peer), nodeVersion)
	const server = new ListeningServer(planstream, file, options)
	try {
		await server.listen(host, port)
	} catch (error) {
		await server.close()
		throw error
	}
	return server
}

/** A Planstream with its own port. */
class ListeningServer implements RunningServer {
	readonly #planstream: OpenPlanstream
	readonly #file: ServerFile
	readonly #hasToken: boolean
	readonly #http: Server
	#closed: Promise<void> | null = null
	#url = ''
	#port = 0

	constructor(
		planstream: OpenPlanstream,
		file: ServerFile,
		{ localToken = true, keepAliveMs }: Pick<ServerOptions, 'localToken' | 'keepAliveMs'>,
	) {
		this.#planstream = planstream
		this.#file = file
		this.#hasToken = localToken
		this.#http = createHttpServer((incoming, outgoing) => {
			const proof = file.prove(incoming)
			if (proof !== null) outgoing.setHeader(PROOF_HEADER, proof)
			planstream.listener(incoming, outgoing)
		}, keepAliveMs)
		planstream.attachWebSockets(this.#http)
		const { anonymous } = planstream
		if (anonymous !== null) this.#http.on('connection', (socket) => anonymous.add(socket))
	}

	get url(): string {
		return this.#url
	}

	get port(): number {
		return this.#port
	}

	get hub(): Hub {
		return this.#planstream.hub
	}

	get executor(): Executor {
		return this.#planstream.executor
	}

	/** Binds the port first: a server that cannot have it must not run anything. */
	async listen(host: string, port: number): Promise<void> {
		this.#port = await listen(this.#http, host, port)
		this.#url = formatUrl(host, this.#port)
		await this.#planstream.start()
		this.#planstream.logger.info(
			{ url: this.#url, version: readVersion(), node: process.versions.node },
			'The server is listening.',
		)
		await this.#file.publish(this.#url, {
			hasToken: this.#hasToken,
			schedule: processSchedule,
			assertPresent: () => this.#planstream.assertPresent(),
			onProblem: this.#planstream.onProblem,
		})
	}

	report(): ServerReport {
		return this.#planstream.report()
	}

	reload(): Promise<void> {
		return this.#planstream.reload()
	}

	close(): Promise<void> {
		this.#closed ??= this.#stop()
		return this.#closed
	}

	async fail(thrown: unknown): Promise<void> {
		this.#planstream.reportUncaught(thrown)
		await this.#planstream.drain()
		await this.close()
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.close()
	}

	async #stop(): Promise<void> {
		this.#http.close()
		await this.#planstream.drain()
		this.#http.closeAllConnections()
		await this.#file.remove()
		await this.#planstream.close()
	}
}

/** Reads the version of this package. */
function readVersion(): string {
	const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
	return version
}
