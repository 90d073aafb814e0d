import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { HttpBindings } from '@hono/node-server'
import type { EventType } from '@planstream/shared'
import type { Hono } from 'hono'
import type { AppRouter } from '../api/router.js'
import type { EventHandler } from '../hub/handlers.js'
import type { Hub } from '../hub/hub.js'
import type { LogLocation } from '../log/open.js'
import type { LimitsDocument } from '../ops/limits.js'
import type { Logger } from '../ops/logger.js'
import type { Agent } from '../plans/agent.js'
import type { Executor } from '../plans/executor.js'
import type { AccessOptions } from './access.js'
import type { RetentionLimits } from './retention.js'

/** What is called with each event of a type, by the type; see {@link Hub.on}. */
export type EventHandlers = { readonly [Type in EventType]?: EventHandler<Type> }

export interface PlanstreamOptions extends AccessOptions {
	/** Where plans are kept: in memory, or in the file of a directory. */
	readonly store: LogLocation
	/** What steps may name as their `agent_type`, beside the built-in agents. @defaultValue none */
	readonly agents?: readonly Agent[]
	/** Called with each event once, after it is durable, on the process that appended it; at most once over a crash. @defaultValue none */
	readonly handlers?: EventHandlers
	/** Whether plans may use the test and demonstration agent `scripted`. @defaultValue false */
	readonly scripted?: boolean
	/** The folder that corpus research reads when a plan names none. @defaultValue `docs` in the current directory */
	readonly corpus?: string
	/** Milliseconds between two pings of a WebSocket. @defaultValue 30 000 */
	readonly pingIntervalMs?: number
	/**
	 * Whether streams are compressed for clients that ask for it: SSE with gzip, WebSockets with permessage-deflate.
	 * @defaultValue false
	 */
	readonly compression?: boolean
	/** Connections that carry streams, at one time. @defaultValue 10 000 */
	readonly maxConnections?: number
	/** What tenants, connections and anonymous clients may take: a JSON file that is read again when it changes, or its content. @defaultValue the documented limits */
	readonly limits?: string | LimitsDocument | undefined
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

/** An HTTP server, of whatever kind, as far as its upgrades go. */
export type UpgradeSource = Pick<EventEmitter, 'on' | 'off' | 'emit' | 'listenerCount'>

/** A Planstream inside an application. Disposing it stops it in order. */
export interface Planstream extends AsyncDisposable {
	/** Answers everything over HTTP, below the path that a Hono app on Node gives it: `host.route('/planstream', planstream.app)`. */
	readonly app: Hono<{ Bindings: HttpBindings }>
	/** The same for `node:http` and what is made of it. Take the path off `request.url` before, as Express does. */
	readonly listener: (incoming: IncomingMessage, outgoing: ServerResponse) => void
	/** The procedures, to merge into an application's own tRPC router. Who calls them says `authorize` alone. */
	readonly router: AppRouter
	/**
	 * Takes over the upgrades of a server that are for this Planstream, and leaves the others to the server's other listeners; where there
	 * are none they are answered with 404. {@link close} lets go of the server.
	 *
	 * @param options.path - where the app is mounted. @defaultValue the root
	 */
	attachWebSockets(server: UpgradeSource, options?: { readonly path?: string }): void
	readonly hub: Hub
	readonly executor: Executor
	report(): ServerReport
	/** Reads the files of keys and limits again at once. What cannot be used is logged and changes nothing at first; it never rejects. */
	reload(): Promise<void>
	/**
	 * Stops in order: new work is refused, streams end so that their readers resume elsewhere, step attempts are cut and run again after
	 * the next start, then the logs are closed. What takes longer than 10 seconds is cut. A second call waits for the first. A server
	 * that this is mounted in goes on.
	 */
	close(): Promise<void>
}
