import { Readable } from 'node:stream'
import type { HttpBindings } from '@hono/node-server'
import { type ImportOutput, PlanstreamError } from '@planstream/shared'
import { archiveRoutes } from '@planstream/shared/schemas'
import { Hono, type Context as HonoContext } from 'hono'
import type { ArchiveKeys } from '../auth/archive-keys.js'
import type { AnswerBudget } from '../connections/answer-budget.js'
import type { Archive } from '../hub/archive.js'
import type { Hub } from '../hub/hub.js'
import type { Principal } from '../hub/principal.js'
import type { Limits } from '../ops/limits.js'
import type { Artifacts } from '../plans/artifacts.js'
import { StagedFiles } from '../plans/staged-files.js'
import { createSizeError, locate, readArchive } from './archive-reader.js'
import { assertScope, type Context } from './procedure.js'
import { type GetBody, toHonoPath } from './rest.js'

export interface ArchivesOptions {
	readonly hub: Hub
	readonly artifacts: Artifacts
	readonly answers: AnswerBudget
	readonly keys: ArchiveKeys
	/** Data directory, which holds the files of imports under way. */
	readonly directory: string
	readonly limits: Limits
	/** Creates the plan from the archive and continues it. */
	readonly restore: (principal: Principal, archive: Archive) => Promise<ImportOutput>
	readonly getContext: (context: HonoContext) => Context
	readonly getBody: GetBody
}

type ArchiveApp = Hono<{ Bindings: HttpBindings }>

/** Exports and imports plans as lines of JSON. */
export function archives({ hub, artifacts, answers, keys, getContext, getBody, ...options }: ArchivesOptions): ArchiveApp {
	const app: ArchiveApp = new Hono<{ Bindings: HttpBindings }>({ strict: false })
	const imports = new TenantTurns('import', MAX_IMPORTS)
	const exports = new TenantTurns('export', MAX_EXPORTS)
	app.get(toHonoPath(archiveRoutes.export.rest.path), async (context) => {
		const { principal } = getContext(context)
		assertScope(principal, archiveRoutes.export.scope, 'An export')
		answers.assertRoom(principal.tenant)
		const turn = exports.take(principal.tenant)
		context.env.outgoing.once('close', () => turn[Symbol.dispose]())
		const files = artifacts.of(principal.tenant)
		const open = async (artifact_id: string) => (await files.open(artifact_id))?.content ?? null
		const lines = hub.archive(principal, context.req.param('plan_id') ?? '', { open, key: await keys.own() })
		const first = await lines.next()
		const headers = { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' }
		if (context.req.method === 'HEAD') return context.body(null, 200, headers)
		const body = Readable.from(prependFirst(first, lines))
		return context.body(Readable.toWeb(body) as ReadableStream, 200, headers)
	})
	app.post(toHonoPath(archiveRoutes.import.rest.path), async (context) => {
		const { principal } = getContext(context)
		assertScope(principal, archiveRoutes.import.scope, 'An import')
		const { tenant, scopes } = principal
		const { import_bytes: maxBytes, state_bytes } = options.limits.forTenant(tenant)
		if (Number(context.req.header('content-length')) > maxBytes) throw locate(createSizeError(maxBytes), 1)
		using _turn = imports.take(tenant)
		await using files = new StagedFiles(options.directory, artifacts.of(tenant))
		const trust = (key: string) => keys.trust(key)
		const terms = { tenant, files, trust, allowUnsigned: scopes.has('operator'), maxBytes, stateBytes: state_bytes }
		const archive = await readArchive(getBody(context).readChunks(), terms)
		const imported = await options.restore(principal, archive).catch((error: unknown) => {
			throw locate(error, 1)
		})
		return context.json(imported, archiveRoutes.import.rest.status, { 'cache-control': 'no-store' })
	})
	return app
}

/** Time after which a request may be sent again while others run. */
const RETRY_MS = 1000

/** Imports of a tenant at one time: one takes the log and the disk as fast as they can. */
const MAX_IMPORTS = 1
/** Exports of a tenant at one time: each holds a page of events, and a state, for as long as its client reads. */
const MAX_EXPORTS = 4

/** Counts the imports, or the exports, of each tenant that are under way. */
class TenantTurns {
	readonly #what: string
	readonly #limit: number
	readonly #counts = new Map<string, number>()

	/** @param what - "import" or "export" */
	constructor(what: string, limit: number) {
		this.#what = what
		this.#limit = limit
	}

	/** @throws PlanstreamError `rate_limited` */
	take(tenant: string): Disposable {
		const count = this.#counts.get(tenant) ?? 0
		if (count >= this.#limit) {
			const message = `As many ${this.#what}s of this tenant are under way as may be (${this.#limit}). Send this one again when one is over.`
			throw new PlanstreamError('rate_limited', message, { limit: `${this.#what}s`, retry_after_ms: RETRY_MS })
		}
		this.#counts.set(tenant, count + 1)
		let isTaken = true
		return {
			[Symbol.dispose]: () => {
				if (isTaken) this.#leave(tenant)
				isTaken = false
			},
		}
	}

	#leave(tenant: string): void {
		const count = this.#counts.get(tenant) ?? 0
		if (count > 1) this.#counts.set(tenant, count - 1)
		else this.#counts.delete(tenant)
	}
}

/** Puts back the first item, which was awaited so that a failure could still become an error response. */
async function* prependFirst(
	first: IteratorResult<string, void>,
	rest: AsyncGenerator<string, void, void>,
): AsyncGenerator<Buffer> {
	if (first.done !== true) yield Buffer.from(first.value)
	for await (const line of rest) yield Buffer.from(line)
}
