import { WINDOW_BITS } from './deflate-context.js'

const EXTENSION = 'permessage-deflate'
const NO_CONTEXT = 'server_no_context_takeover'
/** What may stand behind the extension's name (RFC 7692 section 7.1), by the name of the parameter. */
const PARAMETERS: ReadonlyMap<string, (value: string | undefined) => boolean> = new Map([
	[NO_CONTEXT, isAbsent],
	['client_no_context_takeover', isAbsent],
	['client_max_window_bits', (value) => value === undefined || isBits(value, 8)],
	['server_max_window_bits', (value) => value !== undefined && isBits(value, WINDOW_BITS)],
])

/** An offer of a client that suits. */
export interface DeflateOffer {
	/** As it stands in the header. */
	readonly text: string
	/** Whether the client keeps what messages refer to from one to the next. */
	readonly keepsContext: boolean
}

/**
 * The first way of permessage-deflate in a `Sec-WebSocket-Extensions` that suits.
 *
 * @returns null when none does; then nothing is compressed, which no client may refuse
 */
export function chooseOffer(header = ''): DeflateOffer | null {
	for (const text of header.split(',')) {
		const [name, ...parameters] = text.split(';').map((part) => part.trim())
		if (name !== EXTENSION) continue
		const given = parameters.map((parameter) => parameter.split('=', 2))
		const names = new Set(given.map(([key = '']) => key))
		if (names.size < given.length || !given.every(([key = '', value]) => PARAMETERS.get(key)?.(value) === true)) continue
		return { text: text.trim(), keepsContext: !names.has(NO_CONTEXT) }
	}
	return null
}

function isAbsent(value: string | undefined): boolean {
	return value === undefined
}

/** A value may be quoted. */
function isBits(value: string, least: number): boolean {
	const bits = /^("?)(\d+)\1$/.exec(value)?.[2]
	return bits !== undefined && Number(bits) >= least && Number(bits) <= 15
}
