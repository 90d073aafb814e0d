import type { IncomingHttpHeaders } from 'node:http'
import { asPlanstreamError, ERRORS } from '@planstream/shared'
import type { WebSocket } from 'ws'
import type { Authority } from '../auth/authority.js'
import type { Principal } from '../hub/principal.js'

/** A WebSocket whose upgrade is done, and what it came with. */
export interface Newcomer {
	readonly authority: Authority
	/** Of the upgrade; a key in them counts before the other. */
	readonly headers: IncomingHttpHeaders
	/** A key the client has sent over the WebSocket. */
	readonly token?: string | undefined
	readonly client: WebSocket
}

/**
 * Whose a WebSocket is. Who is refused is closed, after what is written in this turn: a browser shows no answer to a refused upgrade, so
 * the close code is how it learns to stop.
 *
 * @throws PlanstreamError `unauthorized`
 */
export async function admit({ authority, headers, token, client }: Newcomer): Promise<Principal> {
	try {
		return await authority.identify({ via: 'websocket', headers, token: token ?? null }, null)
	} catch (thrown) {
		const { code } = asPlanstreamError(thrown)
		setImmediate(() => client.close(ERRORS[code].close, code))
		throw thrown
	}
}
