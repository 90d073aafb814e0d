import { Readable } from 'node:stream'
import { type Artifact, PlanstreamError } from '@planstream/shared'
import { Hono, type Context as HonoContext } from 'hono'
import type { Hub } from '../hub/hub.js'
import { getOwn } from '../ops/records.js'
import type { Artifacts } from '../plans/artifacts.js'
import { assertScope, type Context } from './procedure.js'
import { foldOf } from './reads.js'
import { pathPattern } from './rest.js'

/** Where a file of a plan is; not in the contract, because it answers with bytes. */
export const ARTIFACT_PATH = '/api/v1/plans/{plan_id}/artifacts/{artifact_id}'

/** What may stand in a Content-Type header; anything else an agent says is bytes. */
const MEDIA_TYPE = /^[\w.+-]+\/[\w.+-]+(; ?[\w-]+=[\w-]+)*$/

export interface ArtifactRoutes {
	readonly hub: Hub
	readonly artifacts: Artifacts
	/** Who asks. */
	readonly contextOf: (context: HonoContext) => Context
}

/** The files that the steps of a plan made, to whoever may read the plan. */
export function artifactRoutes({ hub, artifacts, contextOf }: ArtifactRoutes): Hono {
	const app = new Hono({ strict: false })
	app.get(pathPattern(ARTIFACT_PATH), async (context) => {
		const plan_id = context.req.param('plan_id') ?? ''
		const artifact_id = context.req.param('artifact_id') ?? ''
		const { principal } = contextOf(context)
		assertScope(principal, 'plans:read', 'An artifact')
		const { artifacts: known } = await foldOf(hub, principal, plan_id)
		const artifact = getOwn(known, artifact_id)
		if (artifact === undefined) throw unknownArtifact(plan_id, artifact_id)
		const headers = headersOf(artifact)
		if (context.req.header('if-none-match') === headers.etag) return context.body(null, 304, { etag: headers.etag })
		if (context.req.method === 'HEAD') return context.body(null, 200, headers)
		const content = await artifacts.open(artifact_id)
		if (content === null) throw unknownArtifact(plan_id, artifact_id)
		return context.body(Readable.toWeb(content) as ReadableStream, 200, headers)
	})
	return app
}

/** The content never changes, but who may read it does: it is asked for each time, and told to be the same. */
function headersOf({ artifact_id, name, media_type, bytes }: Artifact) {
	return {
		'content-type': MEDIA_TYPE.test(media_type) ? media_type : 'application/octet-stream',
		'content-length': String(bytes),
		'content-disposition': `attachment; filename*=UTF-8''${fileName(name)}`,
		'x-content-type-options': 'nosniff',
		'cache-control': 'private, no-cache',
		etag: `"${artifact_id}"`,
	}
}

/** A name as RFC 8187 writes it; half a character, which UTF-8 cannot hold, becomes a replacement. */
function fileName(name: string): string {
	const hex = (character: string) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`
	return encodeURIComponent(Buffer.from(name).toString()).replaceAll(/['()*]/g, hex)
}

function unknownArtifact(plan_id: string, artifact_id: string): PlanstreamError {
	const sentence = `Plan ${plan_id} has no artifact ${artifact_id.slice(0, 80)}. The events step_completed of its steps name those it has.`
	return new PlanstreamError('not_found', sentence, { plan_id })
}
