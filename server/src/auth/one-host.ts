import type { IncomingMessage } from 'node:http'
import { PlanstreamError } from '@planstream/shared'

/**
 * Refuses a request that names its host twice, as RFC 9112, 3.2 asks: what stands before this server may have looked at the other one.
 *
 * @throws PlanstreamError `bad_request`
 */
export function assertOneHost({ rawHeaders }: Pick<IncomingMessage, 'rawHeaders'>): void {
	const hosts = rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === 'host').length
	if (hosts <= 1) return
	const sentence = `The request has ${hosts} Host headers, and nobody can tell which of them it means. Send one.`
	throw new PlanstreamError('bad_request', sentence, { path: 'host' })
}
