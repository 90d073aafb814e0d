import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { HttpBindings } from '@hono/node-server'
import type { EventType } from '@planstream/shared'
import type { Hono } from 'hono'
import type { DocsAccess } from '../api/descriptions.js'
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

/** Event handlers by event type; see {@link Hub.on}. */
export type EventHandlers = { readonly [Type in EventType]?: EventHandler<Type> }

export interface PlanstreamOptions extends AccessOptions {
	/** Storage of the plans: memory, or a file in a directory. */
	readonly store: LogLocation
	/** Agents that steps may name as their `agent_type`, in addition to the built-in ones. @defaultValue none */
	readonly agents?: readonly Agent[]
	/**
	 * Called once with each event, after it is durable, in the process that appended it; at most once across a crash.
	 *
	 * @defaultValue none
	 */
	readonly handlers?: EventHandlers
	/** Whether plans may use the test and demonstration agent `scripted`. @defaultValue false */
	readonly scripted?: boolean
	/** Folder that corpus research reads when a plan names none; it is a corpus root too. @defaultValue `docs` in the current directory, if it lies below a corpus root */
	readonly corpus?: string
	/**
	 * Folders below which plans may name a corpus; `builtin` stands for the documents that Planstream ships. A link is no root.
	 * @defaultValue without keys and `authorize` the current directory, else none
	 */
	readonly corpusRoots?: readonly string[] | undefined
	/** Milliseconds between two pings of a WebSocket. @defaultValue 30 000 */
	readonly pingIntervalMs?: number
	/**
	 * Whether streams are compressed for clients that ask for it: SSE with gzip, WebSockets with permessage-deflate.
	 * @defaultValue false
	 */
	readonly compression?: boolean
	/** Maximum number of simultaneous connections that carry streams. @defaultValue 10 000 */
	readonly maxConnections?: number
	/**
	 * Limits of tenants, connections and anonymous clients: a JSON file, reloaded when it changes, or its content.
	 *
	 * @defaultValue the documented limits
	 */
	readonly limits?: string | LimitsDocument | undefined
	/** Access to `/docs`, `/openapi.json` and `/asyncapi.json`: public, with a key, or none. @defaultValue `'public'` */
	readonly docs?: DocsAccess | undefined
	/**
	 * With `apiKeys`, networks of proxies in CIDR notation whose `X-Forwarded-For` names the client, for limits per address.
	 * @defaultValue none; clients with a private address then share the limits of all together
	 */
	readonly trustedProxies?: readonly string[] | undefined
	/**
	 * Public keys of other servers, as `planstream keys archive` prints them: their exports are imported like those of this server.
	 *
	 * @defaultValue none
	 */
	readonly archiveTrust?: readonly string[] | undefined
	/**
	 * Whether the key of exports may have any owner and mode, for a data directory on a volume that has none.
	 *
	 * @defaultValue false
	 */
	readonly anyDataMode?: boolean | undefined
	/** Limits on how long plans are kept. */
	readonly retention?: RetentionLimits
	/** @defaultValue warnings and errors, on standard error */
	readonly logger?: Logger
}

/** Counts of open resources; all zero when no client is connected and no plan runs. */
export interface ServerReport {
	readonly connections: number
	readonly subscriptions: number
	/** Readers waiting for new events. */
	readonly watchers: number
	/** Running step attempts. */
	readonly attempts: number
	/** Step attempts scheduled for later. */
	readonly timers: number
}

/** The part of an HTTP server that handles upgrades. */
export type UpgradeSource = Pick<EventEmitter, 'on' | 'off' | 'emit' | 'listeners'>

/** A Planstream embedded in an application. Disposing it shuts it down gracefully. */
export interface Planstream extends AsyncDisposable {
	/** Serves all HTTP routes; a Hono app on Node mounts it at any path: `host.route('/planstream', planstream.app)`. */
	readonly app: Hono<{ Bindings: HttpBindings }>
	/**
	 * Serves the same routes for `node:http` and frameworks built on it. Remove the mount path from `request.url` first, as Express
	 * does.
	 */
	readonly listener: (incoming: IncomingMessage, outgoing: ServerResponse) => void
	/** Procedures to merge into an application's own tRPC router. Only `authorize` identifies their callers. */
	readonly router: AppRouter
	/**
	 * Handles a server's upgrades that are meant for this Planstream and leaves the others to its other listeners; without any,
	 * they are answered with 404. {@link close} detaches it from the server.
	 *
	 * @param options.path - mount path of the app. @defaultValue the root
	 */
	attachWebSockets(server: UpgradeSource, options?: { readonly path?: string }): void
	readonly hub: Hub
	readonly executor: Executor
	report(): ServerReport
	/** Reloads the files of keys and limits at once. An unusable file is logged and changes nothing at first. Never rejects. */
	reload(): Promise<void>
	/**
	 * Shuts down gracefully: refuses new work, ends streams so that clients resume elsewhere, aborts step attempts, which run again
	 * after the next start, then closes the logs. Whatever is still open after 10 seconds is cut. A second call waits for the
	 * first. The HTTP server it is mounted in keeps running.
	 */
	close(): Promise<void>
}
