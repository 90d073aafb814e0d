import { CLIENT_ID_PATTERN, PlanstreamError } from '@planstream/shared'

/**
 * What a client calls itself, by which it is found in the list of clients.
 *
 * @returns undefined when it gives no name
 * @throws PlanstreamError `bad_request`
 */
export function readClientId(text: string | null | undefined): string | undefined {
	if (text == null || CLIENT_ID_PATTERN.test(text)) return text ?? undefined
	const sentence = `client_id is "${text.slice(0, 128)}"; it must be 1 to 128 letters, digits, ".", "_", ":" or "-".`
	throw new PlanstreamError('bad_request', sentence, { path: 'client_id' })
}

/** The same from the query of an address. */
export function clientIdOf(url: string | undefined): string | undefined {
	return readClientId(new URLSearchParams((url ?? '').split('?', 2)[1]).get('client_id'))
}
