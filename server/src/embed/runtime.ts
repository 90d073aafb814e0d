import { readFileSync } from 'node:fs'
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

/** Files that a server has open besides its connections: the database, artifacts, pipes of isolated agents, connections to models. */
const OTHER_FILES = 256

/**
 * Reads how many files this process may have open.
 *
 * @returns null where the system does not say
 */
export function readOpenFilesLimit(readLimits: () => string = () => readFileSync('/proc/self/limits', 'utf8')): number | null {
	try {
		const [, soft] = /^Max open files +(\d+)/m.exec(readLimits()) ?? []
		return soft === undefined ? null : Number(soft)
	} catch {
		return null
	}
}

/** Reports in the health and with one warning that the system allows fewer open files than the server may have connections. */
export function reportOpenFiles(
	{ limit, maxConnections }: { readonly limit: number | null; readonly maxConnections: number },
	health: Health,
	warn: (message: string) => void,
): void {
	const needed = maxConnections + OTHER_FILES
	if (limit === null || limit >= needed) {
		health.report('open_files', 'ok')
		return
	}
	const advice = `Raise it to ${needed} (ulimit -n), or lower MAX_WEBSOCKET_CLIENTS.`
	health.report('open_files', 'degraded', `This process may open ${limit} files, fewer than its connections may need. ${advice}`)
	warn(
		`This process may open ${limit} files, but has places for ${maxConnections} connections: further ones would hang. ${advice}`,
	)
}
