import { Readable } from 'node:stream'
import { type Artifact, PlanstreamError } from '@planstream/shared'
import { Hono, type Context as HonoContext } from 'hono'
import type { Hub } from '../hub/hub.js'
import { getOwn } from '../ops/records.js'
import type { Artifacts } from '../plans/artifacts.js'
import { assertScope, type Context } from './procedure.js'
import { readFold } from './reads.js'
import { toHonoPath } from './rest.js'

/** Where a file of a plan is; not in the contract, because it answers with bytes. */
export const ARTIFACT_PATH = '/api/v1/plans/{plan_id}/artifacts/{artifact_id}'

/** What may stand in a Content-Type header; anything else an agent says is bytes. */
const MEDIA_TYPE = /^[\w.+-]+\/[\w.+-]+(; ?[\w-]+=[\w-]+)*$/

/** Media types that a browser may run scripts of: HTML, SVG, XML, and multipart, whose parts may be any of them. */
const ACTIVE_TYPE = /^multipart\/|[/+](x?html|svg|xml|xslt?)\b/i

export interface ArtifactRoutes {
	readonly hub: Hub
	readonly artifacts: Artifacts
	/** Who asks. */
	readonly getContext: (context: HonoContext) => Context
}

/** The files that the steps of a plan made, to whoever may read the plan. */
export function artifactRoutes({ hub, artifacts, getContext }: ArtifactRoutes): Hono {
	const app = new Hono({ strict: false })
	app.get(toHonoPath(ARTIFACT_PATH), async (context) => {
		const plan_id = context.req.param('plan_id') ?? ''
		const artifact_id = context.req.param('artifact_id') ?? ''
		const { principal } = getContext(context)
		assertScope(principal, 'plans:read', 'An artifact')
		const { artifacts: known } = await readFold(hub, principal, plan_id)
		const artifact = getOwn(known, artifact_id)
		if (artifact === undefined) throw unknownArtifact(plan_id, artifact_id)
		const fixed = buildHeaders(artifact)
		// A cache replaces the headers it has by those of this answer, so it says them all again.
		if (context.req.header('if-none-match') === fixed.etag) return context.body(null, 304, fixed)
		const found = await artifacts.open(artifact_id)
		if (found === null) throw unknownArtifact(plan_id, artifact_id)
		const headers = { ...fixed, 'content-length': String(found.bytes) }
		if (context.req.method !== 'HEAD') return context.body(Readable.toWeb(found.content) as ReadableStream, 200, headers)
		found.content.destroy()
		return context.body(null, 200, headers)
	})
	return app
}

/**
 * Headers under which a file of an agent stays a download that runs nowhere. The content never changes, but the right to read it does, so
 * caches ask each time.
 */
function buildHeaders({ artifact_id, name, media_type }: Artifact) {
	const isHarmless = MEDIA_TYPE.test(media_type) && !ACTIVE_TYPE.test(media_type)
	return {
		'content-type': isHarmless ? media_type : 'application/octet-stream',
		'content-disposition': `attachment; filename*=UTF-8''${encodeFileName(name)}`,
		'content-security-policy': "default-src 'none'; sandbox",
		'cross-origin-resource-policy': 'same-origin',
		'x-content-type-options': 'nosniff',
		'cache-control': 'private, max-age=0',
		etag: `"${artifact_id}"`,
	}
}

/** A name as RFC 8187 writes it; half a character, which UTF-8 cannot hold, becomes a replacement. */
function encodeFileName(name: string): string {
	const hex = (character: string) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`
	return encodeURIComponent(Buffer.from(name).toString()).replaceAll(/['()*]/g, hex)
}

function unknownArtifact(plan_id: string, artifact_id: string): PlanstreamError {
	const message = `Plan ${plan_id} has no artifact ${artifact_id.slice(0, 80)}. The events step_completed of its steps name those it has.`
	return new PlanstreamError('not_found', message, { plan_id })
}
