import { Readable } from 'node:stream'
import { type Artifact, PlanstreamError } from '@planstream/shared'
import { Hono, type Context as HonoContext } from 'hono'
import type { Hub } from '../hub/hub.js'
import { getOwn } from '../ops/json.js'
import type { Artifacts } from '../plans/artifacts.js'
import { assertScope, type Context } from './procedure.js'
import { readFold } from './reads.js'
import { matchesTag } from './response-headers.js'
import { toHonoPath } from './rest.js'

/** Path of an artifact. It is not in the contract because the response is bytes. */
export const ARTIFACT_PATH = '/api/v1/plans/{plan_id}/artifacts/{artifact_id}'

/** Valid media types. Anything else an agent declares becomes application/octet-stream. */
const MEDIA_TYPE = /^[\w.+-]+\/[\w.+-]+(; ?[\w-]+=[\w-]+)*$/

/** Media types whose scripts a browser may run: HTML, SVG, XML, and multipart, whose parts may be any of them. */
const ACTIVE_TYPE = /^multipart\/|[/+](x?html|svg|xml|xslt?)\b/i

export interface ArtifactRoutes {
	readonly hub: Hub
	readonly artifacts: Artifacts
	readonly getContext: (context: HonoContext) => Context
}

/** Serves the files that a plan's steps produced, to callers that may read the plan. */
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
		const found = await artifacts.of(principal.tenant).open(artifact_id)
		if (found === null) throw unknownArtifact(plan_id, artifact_id)
		if (matchesTag(context.req.header('if-none-match'), fixed.etag)) {
			found.content.destroy()
			// A cache replaces its stored headers with those of this response, so it repeats them all.
			return context.body(null, 304, fixed)
		}
		const headers = { ...fixed, 'content-length': String(found.bytes) }
		if (context.req.method !== 'HEAD') return context.body(Readable.toWeb(found.content) as ReadableStream, 200, headers)
		found.content.destroy()
		return context.body(null, 200, headers)
	})
	return app
}

/**
 * Builds headers that keep an agent's file a download that runs nowhere. The content never changes but permissions do, so caches
 * must revalidate each time.
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

/** Encodes a name as RFC 8187 asks. A lone surrogate, which UTF-8 cannot hold, becomes a replacement character. */
function encodeFileName(name: string): string {
	const hex = (character: string) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`
	return encodeURIComponent(Buffer.from(name).toString()).replaceAll(/['()*]/g, hex)
}

function unknownArtifact(plan_id: string, artifact_id: string): PlanstreamError {
	const message = `Plan ${plan_id} has no artifact ${artifact_id.slice(0, 80)}. Its step_completed events list those it has.`
	return new PlanstreamError('not_found', message, { plan_id })
}
