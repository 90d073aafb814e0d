import { PlanstreamError } from '@planstream/shared'
import { SCOPES } from '@planstream/shared/schemas'
import * as z from 'zod'
import type { Principal } from '../hub/principal.js'
import { describeIssue } from '../ops/issues.js'
import { type AccessRequest, type Authenticator, assertKnownPage, readToken } from './authenticator.js'
import { tenant } from './keys.js'

/**
 * Says who asks, for an application that knows its users. It is called for each request, each WebSocket and each call of the router.
 *
 * @param ctx - by request: the Hono context the application's middleware has filled, null without Hono; by the router: the context of
 *   the application's own tRPC adapter; by WebSocket: null
 * @param request - how they came, with the headers and the bearer token of a request or a WebSocket
 * @returns null to let nobody in
 */
export type Authorize = (ctx: unknown, request: AccessRequest) => Principal | null | Promise<Principal | null>

const principal = z.looseObject({
	tenant,
	actor: z.strictObject({ type: z.enum(['user', 'agent', 'system', 'api_key']), id: z.string().min(1).max(255) }),
	scopes: z.set(z.enum(SCOPES)),
})

/**
 * Lets in whom the application lets in. A browser sends cookies on its own, so pages must be of the application's host.
 *
 * @param origins - of pages that may use it besides
 */
export function createHostAuthenticator(authorize: Authorize, origins: readonly string[]): Authenticator {
	return {
		checkOrigin: ({ headers }) => assertKnownPage(headers, origins),
		identify: async (request, ctx) => {
			const authorized = await authorize(ctx, { ...request, token: readBearerOnly(request) })
			if (authorized !== null) return assertPrincipal(authorized)
			throw new PlanstreamError('unauthorized', 'This application does not know who asks. Sign in, or send valid credentials.')
		},
	}
}

/** Other schemes in the header are the application's business. */
function readBearerOnly(request: AccessRequest): string | null {
	const { authorization = 'bearer ' } = request.headers
	return /^bearer /i.test(authorization) ? readToken(request) : null
}

/** A wrong tenant would be other people's plans, so a mistake of the application stops here. */
function assertPrincipal(authorized: Principal): Principal {
	const { success, error } = principal.safeParse(authorized)
	if (success) return authorized
	const [issue] = error.issues
	throw new TypeError(`What authorize returned is no Principal: ${issue === undefined ? '' : describeIssue(issue, authorized)}`)
}
