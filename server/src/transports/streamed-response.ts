import type { ServerResponse } from 'node:http'
import { endStalled } from '../connections/back-pressure.js'

/**
 * Makes a response one stream: it is cut when its reader takes nothing for so long, and its connection goes with it, as the headers
 * say. A reader that resumes on a connection it kept could meet a server that stops, and an EventSource gives up for good when it is
 * refused. To be called before the headers are sent.
 */
export function streamedBy(response: ServerResponse, stallTimeoutMs: number): void {
	response.shouldKeepAlive = false
	endStalled(response, stallTimeoutMs, () => response.destroy())
}
