import type { IncomingHttpHeaders } from 'node:http'
import { asPlanstreamError, ERRORS, type PlanstreamError } from '@planstream/shared'
import type { WebSocket } from 'ws'
import type { Authority } from '../auth/authority.js'
import { upgradeToken } from '../auth/credentials.js'
import type { Connection } from '../connections/registry.js'
import type { Principal } from '../hub/principal.js'

/** A WebSocket whose upgrade is done, and what it came with. */
export interface Newcomer {
	readonly authority: Authority
	/** Of the upgrade; a key in them counts before the other. */
	readonly headers: IncomingHttpHeaders
	/** A key the client has sent over the WebSocket. */
	readonly token?: string | undefined
	readonly client: WebSocket
	readonly connection: Connection
}

/**
 * Whose a WebSocket is. It is closed when their key is no longer valid and its streams have ended. Who is refused is closed too, after
 * what is written in this turn: a browser shows no answer to a refused upgrade, so the close code is how it learns to stop.
 *
 * @throws PlanstreamError `unauthorized`
 */
export function admit({ authority, headers, token, client, connection }: Newcomer): Principal {
	try {
		const principal = authority.identify(upgradeToken(headers) ?? token ?? null)
		leaveWhenExpired(client, connection, principal)
		return principal
	} catch (thrown) {
		const { code } = asPlanstreamError(thrown)
		setImmediate(() => client.close(ERRORS[code].close, code))
		throw thrown
	}
}

function leaveWhenExpired(client: WebSocket, connection: Connection, { expired }: Principal): void {
	if (expired === undefined) return
	const leave = (): void => connection.leave(expired.reason as PlanstreamError)
	expired.addEventListener('abort', leave)
	client.once('close', () => expired.removeEventListener('abort', leave))
}
