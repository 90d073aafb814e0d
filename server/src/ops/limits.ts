import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import { getHeapStatistics } from 'node:v8'
import { asPlanstreamError, PlanstreamError } from '@planstream/shared'
import * as z from 'zod'
import { describeIssue, findFirstIssue } from './issues.js'
import { removeByteOrderMark } from './json.js'

const MIB = 1024 * 1024
const WATCH_INTERVAL_MS = 500

/** Limits per plan or per tenant. Sizes are in bytes. */
const tenantDefaults = {
	/** The state of one plan. */
	state_bytes: 8 * 1024 * 1024,
	/** The log of one plan. */
	plan_bytes: 1024 * 1024 * 1024,
	/** The archive of one import. */
	import_bytes: 1024 * 1024 * 1024,
}

/** Limits on the memory of the process, and on the time of requests. */
const serverDefaults = {
	/** Bytes of answers waiting on one connection. */
	connection_bytes: 8 * 1024 * 1024,
	/** Bytes of answers waiting on all connections. */
	answers_bytes: 256 * 1024 * 1024,
	/** Bytes of large answers that are made at one time, and of pages that are read, and of states that are loaded. */
	working_bytes: 16 * 1024 * 1024,
	/** Bytes of states in memory. */
	states_bytes: 64 * 1024 * 1024,
	/** Bytes of the newest events of all plans in memory. */
	tail_bytes: 32 * 1024 * 1024,
	/** Milliseconds for the body of a request. An archive may take longer, at 1 KiB a second. */
	body_timeout_ms: 30_000,
}

/** The part of the heap that each budget may have at most, as a divisor, so that together they cannot fill a small one. */
const HEAP_SHARES: Readonly<Partial<Record<keyof typeof serverDefaults, number>>> = {
	connection_bytes: 64,
	answers_bytes: 16,
	working_bytes: 128,
	states_bytes: 48,
	tail_bytes: 96,
}

/** Limits on clients without a valid key, on a server with keys. */
const anonymousDefaults = {
	/** Sockets in total. */
	sockets: 1_000,
	/** Sockets per address, or per /64 network with IPv6. */
	sockets_per_ip: 32,
	/** Requests per second in total. */
	requests: 200,
	/** Requests per second and address, with bursts of three times as many. */
	requests_per_ip: 20,
}

export type TenantLimits = Readonly<typeof tenantDefaults> & {
	/** Folders that corpus agents may read for this tenant; null for those of the server. */
	readonly corpus_roots: readonly string[] | null
}
export type ServerLimits = Readonly<typeof serverDefaults>
export type AnonymousLimits = Readonly<typeof anonymousDefaults>

const amount = z.int().min(1).nullable().optional()
const amounts = <Name extends string>(defaults: Readonly<Record<Name, number>>) =>
	Object.fromEntries(Object.keys(defaults).map((name) => [name, amount])) as Record<Name, typeof amount>

const tenantLimits = z.strictObject({
	...amounts(tenantDefaults),
	corpus_roots: z.array(z.string().min(1)).max(64).optional(),
})
const limitsDocument = z.strictObject({
	default: tenantLimits.optional(),
	tenants: z.record(z.string(), tenantLimits).optional(),
	server: z.strictObject(amounts(serverDefaults)).optional(),
	anonymous: z.strictObject(amounts(anonymousDefaults)).optional(),
})

/** The content of a limits file. An absent name has its default; `null` means no limit. */
export type LimitsDocument = z.input<typeof limitsDocument>

/** The limits in force. They change with their file, so read them where they are needed and keep no copy. */
export class Limits {
	#document: z.output<typeof limitsDocument>
	#server: ServerLimits
	#anonymous: AnonymousLimits
	readonly #tenants = new Map<string, TenantLimits>()

	/** @throws PlanstreamError `bad_request` with the `path` of the invalid value */
	constructor(document: unknown = {}) {
		this.#document = parseDocument(document)
		this.#server = this.#readServer()
		this.#anonymous = override(anonymousDefaults, this.#document.anonymous)
	}

	get server(): ServerLimits {
		return this.#server
	}

	get anonymous(): AnonymousLimits {
		return this.#anonymous
	}

	forTenant(tenant: string): TenantLimits {
		const known = this.#tenants.get(tenant)
		if (known !== undefined) return known
		const { default: all, tenants = {} } = this.#document
		const own = Object.hasOwn(tenants, tenant) ? tenants[tenant] : undefined
		// Tenants that the file does not name share one entry, so the map is as large as the file.
		if (own === undefined && tenant !== '') return this.forTenant('')
		const limits = {
			...override<keyof typeof tenantDefaults>(override<keyof typeof tenantDefaults>(tenantDefaults, all), own),
			corpus_roots: own?.corpus_roots ?? all?.corpus_roots ?? null,
		}
		this.#tenants.set(tenant, limits)
		return limits
	}

	/** Whether any tenant has corpus roots of its own. */
	get hasCorpusRoots(): boolean {
		const { default: all, tenants = {} } = this.#document
		return [all, ...Object.values(tenants)].some((limits) => (limits?.corpus_roots ?? []).length > 0)
	}

	/** @throws PlanstreamError `bad_request` with the `path` of the invalid value; the limits stay unchanged */
	replace(document: unknown): void {
		this.#document = parseDocument(document)
		this.#server = this.#readServer()
		this.#anonymous = override(anonymousDefaults, this.#document.anonymous)
		this.#tenants.clear()
	}

	/** Scales the defaults with the heap. */
	#readServer(): ServerLimits {
		const { heap_size_limit } = getHeapStatistics()
		const names = Object.keys(serverDefaults) as (keyof ServerLimits)[]
		const scaled = names.map((name) => {
			const divisor = HEAP_SHARES[name]
			const share = divisor === undefined ? Number.POSITIVE_INFINITY : Math.max(MIB, Math.floor(heap_size_limit / divisor))
			return [name, Math.min(serverDefaults[name], share)]
		})
		return override(Object.fromEntries(scaled) as Record<keyof ServerLimits, number>, this.#document.server)
	}
}

/** The limits of a server, and a way to read their file again. */
export interface OpenLimits extends Disposable {
	readonly limits: Limits
	/** Reads the file again. An invalid file is logged and leaves the limits unchanged. */
	readonly reload: () => void
}

/**
 * Reads a limits file and watches it.
 *
 * @param source - the path of a file, or the limits themselves. @defaultValue the defaults
 * @throws PlanstreamError `bad_request` for a file that cannot be read, an unknown name or a value of the wrong type
 */
export function openLimits(
	source: string | LimitsDocument | undefined,
	onProblem: (message: string, error: PlanstreamError) => void,
): OpenLimits {
	if (typeof source !== 'string') {
		return { limits: new Limits(source), reload: () => undefined, [Symbol.dispose]: () => undefined }
	}
	const limits = new Limits(readDocument(source))
	const reload = (): void => {
		try {
			limits.replace(readDocument(source))
		} catch (error) {
			onProblem('The limits stay as they were, because their file is not valid.', asPlanstreamError(error))
		}
	}
	watchFile(source, { interval: WATCH_INTERVAL_MS, persistent: false }, reload)
	return { limits, reload, [Symbol.dispose]: () => unwatchFile(source, reload) }
}

function readDocument(file: string): unknown {
	try {
		return JSON.parse(removeByteOrderMark(readFileSync(file, 'utf8')))
	} catch (cause) {
		const message = `The limits file ${file} cannot be read as JSON (${cause instanceof Error ? cause.message : String(cause)}). Correct it.`
		throw new PlanstreamError('bad_request', message, { file }, { cause })
	}
}

function parseDocument(document: unknown): z.output<typeof limitsDocument> {
	const parsed = limitsDocument.safeParse(document)
	if (parsed.success) return parsed.data
	const issue = findFirstIssue(parsed.error)
	const path = issue.path.join('.')
	throw new PlanstreamError('bad_request', `The limits are not valid: ${describeIssue(issue, document)}`, { path })
}

function override<Name extends string>(
	defaults: Readonly<Record<Name, number>>,
	given: { readonly [Key in Name]?: number | null | undefined } | undefined,
): Record<Name, number> {
	const entries = (Object.keys(defaults) as Name[]).map((name) => {
		const value = given?.[name]
		return [name, value === undefined ? defaults[name] : (value ?? Number.POSITIVE_INFINITY)]
	})
	return Object.fromEntries(entries) as Record<Name, number>
}
