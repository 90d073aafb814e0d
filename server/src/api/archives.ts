import { Readable } from 'node:stream'
import type { ImportOutput } from '@planstream/shared'
import { archiveRoutes } from '@planstream/shared/schemas'
import { Hono, type Context as HonoContext } from 'hono'
import type { Hub } from '../hub/hub.js'
import type { Principal } from '../hub/principal.js'
import type { Archive } from '../hub/restore.js'
import type { Artifacts } from '../plans/artifacts.js'
import { readArchive } from './archive-lines.js'
import type { Context } from './context.js'
import { assertScope } from './procedure.js'
import { pathPattern } from './rest.js'

export interface ArchivesOptions {
	readonly hub: Hub
	readonly artifacts: Artifacts
	/** Makes the plan and goes on with it. */
	readonly restore: (principal: Principal, archive: Archive) => Promise<ImportOutput>
	/** Who asks. */
	readonly contextOf: (context: HonoContext) => Context
}

/** Plans as lines of JSON, out and in. They are streams, so they come before whatever reads bodies as a whole. */
export function archives({ hub, artifacts, restore, contextOf }: ArchivesOptions): Hono {
	const app = new Hono({ strict: false })
	app.get(pathPattern(archiveRoutes.export.rest.path), async (context) => {
		const { principal } = contextOf(context)
		assertScope(principal, archiveRoutes.export.scope, 'An export')
		const lines = hub.archive(principal, context.req.param('plan_id') ?? '', (artifact_id) => artifacts.open(artifact_id))
		const first = await lines.next()
		const headers = { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' }
		if (context.req.method === 'HEAD') return context.body(null, 200, headers)
		const body = Readable.from(withFirst(first, lines))
		return context.body(Readable.toWeb(body) as ReadableStream, 200, headers)
	})
	app.post(pathPattern(archiveRoutes.import.rest.path), async (context) => {
		const { principal } = contextOf(context)
		assertScope(principal, archiveRoutes.import.scope, 'An import')
		const archive = await readArchive(context.req.raw.body ?? Readable.from([]), artifacts)
		return context.json(await restore(principal, archive), archiveRoutes.import.rest.status, { 'cache-control': 'no-store' })
	})
	return app
}

/** The whole again, after its first item has shown that there is one. */
async function* withFirst(first: IteratorResult<string, void>, rest: AsyncGenerator<string, void, void>): AsyncGenerator<Buffer> {
	if (first.done !== true) yield Buffer.from(first.value)
	for await (const line of rest) yield Buffer.from(line)
}
