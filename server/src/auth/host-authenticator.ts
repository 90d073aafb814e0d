import { PlanstreamError } from '@planstream/shared'
import { SCOPES } from '@planstream/shared/schemas'
import * as z from 'zod'
import type { Principal } from '../hub/principal.js'
import { describeIssue } from '../ops/issues.js'
import { type AccessRequest, type Authenticator, assertKnownPage, normalizeOrigin, readToken } from './authenticator.js'
import { tenant } from './keys.js'

/**
 * Identifies callers for an application that knows its users. It is called for each request, each WebSocket and each router call.
 *
 * @param ctx - for a request: the Hono context as the application's middleware filled it, null without Hono; for a router call: the context of
 *   the application's own tRPC adapter; for a WebSocket: null
 * @param request - how the call arrived, with the headers and the bearer token of a request or a WebSocket
 * @returns null to reject the caller
 */
export type Authorize = (ctx: unknown, request: AccessRequest) => Principal | null | Promise<Principal | null>

const principal = z.looseObject({
	tenant,
	actor: z.strictObject({ type: z.enum(['user', 'agent', 'system', 'api_key']), id: z.string().min(1).max(255) }),
	scopes: z.set(z.enum(SCOPES)),
})

/**
 * Creates an authenticator that accepts the callers an application accepts. Browsers send cookies on their own, so pages must be on the
 * application's host.
 *
 * @param origins - further origins whose pages may use the server
 */
export function createHostAuthenticator(authorize: Authorize, origins: readonly string[]): Authenticator {
	const known = origins.map(normalizeOrigin)
	return {
		checkOrigin: ({ headers }) => assertKnownPage(headers, known),
		identify: async (request, ctx) => {
			const authorized = await authorize(ctx, { ...request, token: readBearerOnly(request) })
			if (authorized !== null) return assertPrincipal(authorized)
			throw new PlanstreamError(
				'unauthorized',
				'The application does not recognise the caller. Sign in, or send valid credentials.',
			)
		},
	}
}

/** Reads a bearer token; other schemes in the header are left to the application. */
function readBearerOnly(request: AccessRequest): string | null {
	const { authorization = 'bearer ' } = request.headers
	return /^bearer /i.test(authorization) ? readToken(request) : null
}

/** Stops a malformed principal of the application here: a wrong tenant would expose other tenants' plans. */
function assertPrincipal(authorized: Principal): Principal {
	const { success, error } = principal.safeParse(authorized)
	if (success) return authorized
	const [issue] = error.issues
	throw new TypeError(`authorize returned an invalid Principal: ${issue === undefined ? '' : describeIssue(issue, authorized)}`)
}
