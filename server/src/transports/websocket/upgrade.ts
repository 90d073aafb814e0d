import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { asPlanstreamError, PlanstreamError } from '@planstream/shared'
import { toProblemResponse } from '../../api/errors.js'
import { type OnProblem, reportFailures } from '../../api/procedure.js'
import { createRequestId, REQUEST_ID } from '../../api/response-headers.js'
import { type Authenticator, assertSingleHeaders } from '../../auth/authenticator.js'
import type { AnonymousClients } from '../../connections/anonymous.js'

/**
 * Takes over a connection after its HTTP upgrade.
 *
 * @throws PlanstreamError for a refused upgrade; the client gets it as the HTTP response
 */
export type Upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void

export interface UpgradeOptions {
	/** Keyed by path; `{name}` stands for one segment. */
	readonly upgrades: Readonly<Record<string, Upgrade>>
	readonly authority: Authenticator
	/** Counts those who have no key; null on a server without keys. */
	readonly anonymous: AnonymousClients | null
	readonly onProblem: OnProblem
}

export interface UpgradeRouter {
	/** Upgrades a connection, or answers with an HTTP error and closes it. */
	readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
	/** Whether there is a WebSocket at a URL, whose query is ignored. */
	readonly isWebSocket: (url: string) => boolean
}

/** Routes the upgrades of an HTTP server by their path. */
export function createUpgradeRouter({ upgrades, authority, anonymous, onProblem }: UpgradeOptions): UpgradeRouter {
	const upgrade: UpgradeRouter['upgrade'] = (request, socket, head) => {
		socket.on('error', ignoreReset)
		try {
			assertSingleHeaders(request)
			authority.checkOrigin(request)
			anonymous?.add(request.socket)
			anonymous?.assertRoom(request)
			getUpgrade(getPath(request.url ?? '/'), upgrades)(request, socket, head)
		} catch (thrown) {
			const requestId = createRequestId()
			refuseUpgrade(socket, reportFailures(asPlanstreamError(thrown), onProblem, 'An upgrade', requestId), requestId)
		}
	}
	return { upgrade, isWebSocket: (url) => findUpgrade(getPath(url), upgrades) !== undefined }
}

function getUpgrade(path: string, upgrades: UpgradeOptions['upgrades']): Upgrade {
	const found = findUpgrade(path, upgrades)
	if (found !== undefined) return found
	const allowed = Object.keys(upgrades)
	const message = `There is no WebSocket at ${path.slice(0, 200)}. Connect to ${allowed.join(' or ')}.`
	throw new PlanstreamError('not_found', message, { allowed })
}

function findUpgrade(path: string, upgrades: UpgradeOptions['upgrades']): Upgrade | undefined {
	const matches = (pattern: string): boolean => new RegExp(`^${pattern.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path)
	return Object.entries(upgrades).find(([pattern]) => matches(pattern))?.[1]
}

function getPath(url: string): string {
	return url.split('?', 1)[0] ?? '/'
}

/** Answers an upgrade request with an error and closes the socket. */
export function refuseUpgrade(socket: Duplex, error: PlanstreamError, requestId = createRequestId()): void {
	const { status, headers } = toProblemResponse(error)
	const body = JSON.stringify(error.toProblem())
	const fields = [...headers, [REQUEST_ID, requestId], ['content-length', Buffer.byteLength(body)], ['connection', 'close']]
	const head = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`, ...fields.map(([name, value]) => `${name}: ${value}`)]
	socket.once('finish', () => socket.destroy())
	socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}

/**
 * An upgraded socket has no other listener, and an unhandled 'error' event ends the process. `close` follows and does the rest.
 */
function ignoreReset(): void {}
