import type { IncomingHttpHeaders } from 'node:http'
import { PlanstreamError } from '@planstream/shared'

/** Before the key in a subprotocol, which is where a browser can put one at a WebSocket upgrade. */
const BEARER_PROTOCOL = 'planstream.bearer.'

/**
 * The key a request carries in its header; null when it has none.
 *
 * @throws PlanstreamError `unauthorized` for a header of another form
 */
export function bearerToken({ authorization }: IncomingHttpHeaders): string | null {
	if (authorization === undefined) return null
	const [, token] = /^bearer +([\w.~+/=-]+) *$/i.exec(authorization) ?? []
	if (token !== undefined) return token
	throw new PlanstreamError('unauthorized', 'The header Authorization is not of the form "Bearer KEY". Send it so.')
}

/**
 * The key a WebSocket upgrade carries in its header, else in its subprotocol; null when it has none.
 *
 * @throws PlanstreamError `unauthorized` for a header of another form
 */
export function upgradeToken(headers: IncomingHttpHeaders): string | null {
	const offered = headers['sec-websocket-protocol']?.split(',').map((protocol) => protocol.trim()) ?? []
	const bearer = offered.find((protocol) => protocol.startsWith(BEARER_PROTOCOL))
	return bearerToken(headers) ?? bearer?.slice(BEARER_PROTOCOL.length) ?? null
}

/** The subprotocol that is agreed to: one without a key when there is one, because what is answered may be logged on its way. */
export function chooseProtocol(offered: ReadonlySet<string>): string | false {
	const [first = false] = offered
	return [...offered].find((protocol) => !protocol.startsWith(BEARER_PROTOCOL)) ?? first
}
