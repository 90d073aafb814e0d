import { PlanstreamError } from '@planstream/shared'
import { isLoopback } from '../auth/authenticator.js'
import type { Health } from '../ops/health.js'

/** First versions of Node, by major version, in which chosen keys of a JSON object no longer block the process for seconds. */
const FIXED: ReadonlyMap<number, readonly [minor: number, patch: number]> = new Map([
	[20, [20, 2]],
	[22, [22, 2]],
	[24, [14, 1]],
])
const NEWEST_LISTED = 24
const ADVICE = 'Update to 20.20.2, 22.22.2, 24.14.1 or newer.'

/** Tells whether a version of Node has the fixes that a server on a network needs; odd versions before 25 never got them. */
export function hasFixes(version: string): boolean {
	const [major = 0, minor = 0, patch = 0] = version.split('.').map((part) => Number.parseInt(part, 10))
	if (major > NEWEST_LISTED) return true
	const fixed = FIXED.get(major)
	return fixed !== undefined && (minor > fixed[0] || (minor === fixed[0] && patch >= fixed[1]))
}

/**
 * Refuses to listen beyond this machine on a Node without the fixes.
 *
 * @throws PlanstreamError `bad_request`
 */
export function assertFixedNode(host: string, version: string, allowOldNode: boolean): void {
	if (allowOldNode || isLoopback(host) || hasFixes(version)) return
	const message = `Node ${version} lacks security fixes, so it may not listen on ${host}. ${ADVICE} PLANSTREAM_OLD_NODE=1 starts anyway.`
	throw new PlanstreamError('bad_request', message, { host, version })
}

/**
 * Refuses to run under Bun, whose HTTP server does not give streams the socket they write to: clients would get invalid HTTP.
 *
 * @throws PlanstreamError `bad_request`
 */
export function assertNotBun({ bun }: NodeJS.ProcessVersions = process.versions): void {
	if (bun === undefined) return
	const message = `The server does not run under Bun (${bun}): its streams need the HTTP server of Node. Start it with Node 20.19 or newer.`
	throw new PlanstreamError('bad_request', message, { bun })
}

/** Reports a Node without the fixes in the health and with one warning. */
export function reportNode(version: string, health: Health, warn: (message: string) => void): void {
	if (hasFixes(version)) {
		health.report('runtime', 'ok')
		return
	}
	health.report('runtime', 'degraded', `This version of Node lacks security fixes. ${ADVICE}`)
	warn(`Node ${version} lacks security fixes: one small request can block the process for seconds. ${ADVICE}`)
}
