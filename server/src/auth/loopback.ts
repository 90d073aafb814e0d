import type { IncomingHttpHeaders } from 'node:http'
import { PlanstreamError } from '@planstream/shared'

/** What a request says of where it comes from. */
export interface Arrival {
	readonly headers: IncomingHttpHeaders
	readonly socket: { readonly remoteAddress?: string | undefined }
}

/** Names of this machine for itself. A server without authentication listens on one of these, and takes requests to no other. */
export const LOOPBACK_HOSTS = ['127.0.0.1', 'localhost', '::1'] as const

const ADVICE = 'Without authentication this server answers programs and pages of its own machine only; ask for http://localhost.'

export function isLoopback(host: string): boolean {
	return LOOPBACK_HOSTS.some((name) => name === host)
}

/**
 * Refuses requests that come from another machine, through a foreign web page, a foreign name or a proxy: a browser on this machine can be
 * made to send them, and without authentication they would be obeyed. For requests and for WebSocket upgrades alike.
 *
 * @throws PlanstreamError `forbidden`
 */
export function assertLocal({ headers, socket }: Arrival): void {
	const { host, origin } = headers
	const { remoteAddress = '' } = socket
	if (!isLoopbackAddress(remoteAddress)) {
		throw new PlanstreamError('forbidden', `The request comes from the address "${remoteAddress}". ${ADVICE}`, {
			address: remoteAddress,
		})
	}
	if (host === undefined || !isLoopbackUrl(`http://${host}`)) {
		throw new PlanstreamError('forbidden', `The request is for the host "${host ?? ''}". ${ADVICE}`, { header: 'host' })
	}
	if (origin !== undefined && !isLoopbackOrigin(origin)) {
		throw new PlanstreamError('forbidden', `The request comes from a page of "${origin}". ${ADVICE}`, { header: 'origin' })
	}
	const forwarded = Object.keys(headers).find((name) => name === 'forwarded' || name.startsWith('x-forwarded-'))
	if (forwarded === undefined) return
	throw new PlanstreamError('forbidden', `The request came through a proxy, as its header ${forwarded} says. ${ADVICE}`, {
		header: forwarded,
	})
}

/** Whether a page of this origin is served by this machine. */
export function isLoopbackOrigin(origin: string): boolean {
	return /^https?:/.test(origin) && isLoopbackUrl(origin)
}

/** Whether a peer of this address is on this machine, by IPv4, IPv6 or the one in the other. */
function isLoopbackAddress(address: string): boolean {
	return address === '::1' || /^(::ffff:)?127\.\d+\.\d+\.\d+$/.test(address)
}

function isLoopbackUrl(text: string): boolean {
	if (!URL.canParse(text)) return false
	const { hostname } = new URL(text)
	return isLoopback(hostname.startsWith('[') ? hostname.slice(1, -1) : hostname)
}
