import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { HttpBindings } from '@hono/node-server'
import { AGENT_TYPE_PATTERN, EVENT_TYPES, type EventType, PlanstreamError } from '@planstream/shared'
import type { Hono } from 'hono'
import * as z from 'zod'
import { DOCS_ACCESS, type DocsAccess } from '../api/descriptions.js'
import type { AppRouter } from '../api/router.js'
import { isNetwork } from '../connections/anonymous.js'
import type { EventHandler } from '../hub/handlers.js'
import type { Hub } from '../hub/hub.js'
import type { LogLocation } from '../log/open.js'
import { describeIssue, findFirstIssue, showPath } from '../ops/issues.js'
import type { LimitsDocument } from '../ops/limits.js'
import type { Logger } from '../ops/logger.js'
import type { Agent } from '../plans/agent.js'
import type { Executor } from '../plans/executor.js'
import type { AccessOptions } from './access.js'
import type { MountHandler } from './http.js'
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
	readonly corpus?: string | undefined
	/**
	 * Folders below which plans may name a corpus; `builtin` stands for the documents that Planstream ships. A link is no root.
	 * @defaultValue without keys and `authorize` the current directory, else none
	 */
	readonly corpusRoots?: readonly string[] | undefined
	/**
	 * Whether plans may use the agents of corpus research, which read files.
	 * @defaultValue with keys or `authorize` whether a corpus root is named at the start, else true
	 */
	readonly corpusAgents?: boolean | undefined
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

const callable = z.custom((value) => typeof value === 'function', 'must be a function')
const zodType = z.custom(isZodType, 'must be a zod schema')
const text = z.string().min(1)

function isZodType(value: unknown): boolean {
	return typeof value === 'object' && value !== null && 'safeParse' in value && typeof value.safeParse === 'function'
}

const ORIGIN = /^https?:\/\/[^/?#@\s]+$/

/** Tells whether a text is the origin of web pages. */
export function isOrigin(text: string): boolean {
	return ORIGIN.test(text)
}

const agent = z.object({
	type: z.string().regex(AGENT_TYPE_PATTERN, 'must be 1 to 128 letters, digits, ".", "_" or "-"'),
	execute: callable,
	input: zodType.optional(),
	result: zodType.optional(),
})

const handlers = z.strictObject(Object.fromEntries(EVENT_TYPES.map((type) => [type, callable.optional()])))

const logger = z.custom(
	(value) => typeof value === 'object' && value !== null && ['error', 'warn', 'info'].every((level) => level in value),
	'must be a logger such as that of pino',
)

const age = z.number().min(0).nullable().optional()

const planstreamOptions = {
	store: z.discriminatedUnion('kind', [
		z.strictObject({ kind: z.literal('memory') }),
		z.strictObject({ kind: z.literal('sqlite'), directory: text }),
	]),
	apiKeys: text.optional(),
	authorize: callable.optional(),
	origins: z.array(z.string().refine(isOrigin, 'must be an origin such as https://app.example.com')).optional(),
	agents: z.array(agent).optional(),
	handlers: handlers.optional(),
	scripted: z.boolean().optional(),
	corpus: text.optional(),
	corpusRoots: z.array(text).optional(),
	corpusAgents: z.boolean().optional(),
	pingIntervalMs: z.number().min(1).optional(),
	compression: z.boolean().optional(),
	maxConnections: z.int().min(1).optional(),
	limits: z.union([text, z.looseObject({})]).optional(),
	docs: z.enum(DOCS_ACCESS).optional(),
	trustedProxies: z.array(z.string().refine(isNetwork, 'must be an address, or a network such as 10.0.0.0/8')).optional(),
	archiveTrust: z.array(text).optional(),
	anyDataMode: z.boolean().optional(),
	retention: z.strictObject({ finishedMs: age, finishedEvents: z.int().min(1).nullable().optional(), silentMs: age }).optional(),
	logger: logger.optional(),
} satisfies Record<keyof PlanstreamOptions, z.ZodType>

/**
 * Checks options by name, because not every caller is written in TypeScript.
 *
 * @param more - schemas of options besides those of every Planstream
 * @throws PlanstreamError `bad_request` with the `path` of the first fault
 */
export function assertOptions(options: unknown, more: Readonly<Record<string, z.ZodType>> = {}): void {
	const given = { options }
	const parsed = z.object({ options: z.strictObject({ ...planstreamOptions, ...more }) }).safeParse(given)
	if (parsed.success) return
	const issue = findFirstIssue(parsed.error)
	throw new PlanstreamError('bad_request', describeIssue(issue, given), { path: showPath(issue.path.slice(1)) })
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
	/**
	 * Serves all HTTP routes in a Hono app on Node, at any path: `host.all('/planstream/*', planstream.handler)`. The app may have
	 * another copy of Hono than this package.
	 */
	readonly handler: MountHandler
	/**
	 * The same as an app: `host.route('/planstream', planstream.app)`. Types of Hono have private members, so the compiler takes it
	 * only in an app of the same copy of Hono.
	 */
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
