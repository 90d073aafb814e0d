import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { REQUEST_ID } from '../api/response-headers.js'
import type { Logger } from '../ops/logger.js'

export type RequestLogger = Pick<Logger, 'debug' | 'isLevelEnabled'>

/** Characters of a path that are logged. */
const MAX_PATH = 300

/** Logs a request when its answer has ended, if requests are logged at all. Its query, which may hold a position or a key, is left out. */
export function logRequest(logger: RequestLogger, incoming: IncomingMessage, outgoing: ServerResponse): void {
	if (!logger.isLevelEnabled('debug')) return
	const begun = describeBegin(incoming)
	outgoing.once('close', () => {
		const { statusCode: status } = outgoing
		logger.debug({ ...begun(), status, request_id: outgoing.getHeader(REQUEST_ID) }, 'A request was answered.')
	})
}

/** Logs a WebSocket when it has closed, if requests are logged at all. */
export function logUpgrade(logger: RequestLogger, request: IncomingMessage, socket: Duplex): void {
	if (!logger.isLevelEnabled('debug')) return
	const begun = describeBegin(request)
	socket.once('close', () => logger.debug(begun(), 'A WebSocket was closed.'))
}

function describeBegin({ method, url = '' }: IncomingMessage): () => Readonly<Record<string, unknown>> {
	const from = performance.now()
	const path = url.split('?', 1)[0]?.slice(0, MAX_PATH)
	return () => ({ method, path, ms: Math.round(performance.now() - from) })
}
