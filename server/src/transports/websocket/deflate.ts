import { constants, deflateRawSync } from 'node:zlib'

/** Size of the compression window, agreed on with the client: 2^12 bytes. */
export const WINDOW_BITS = 12
const WINDOW_BYTES = 2 ** WINDOW_BITS
/** Every flush ends with these bytes, and a message omits them (RFC 7692 section 7.2.1). */
const FLUSH_TAIL_BYTES = 4
/** Small tables: quick to set up, and no worse for messages as short as ours. */
const SETTINGS = { windowBits: WINDOW_BITS, memLevel: 5, finishFlush: constants.Z_SYNC_FLUSH } as const

/**
 * Compresses consecutive messages; each may refer to the last 4 KiB before it. Only that text is kept, not a zlib stream, so
 * two contexts with the same last 4 KiB produce the same bytes from then on, whenever they started.
 */
export class DeflateContext {
	#window: Buffer = Buffer.alloc(0)

	/** Whether the window is still empty. */
	isNew(): boolean {
		return this.#window.length === 0
	}

	/** Whether the window is full, so that the start of the context makes no difference. */
	isFull(): boolean {
		return this.#window.length === WINDOW_BYTES
	}

	/**
	 * Compresses the next message, for receivers that got every earlier message of this context and no other compressed one in
	 * between.
	 */
	deflate(text: string): Buffer {
		const bytes = Buffer.from(text)
		const deflated = deflateRawSync(bytes, this.isNew() ? SETTINGS : { ...SETTINGS, dictionary: this.#window })
		const kept = this.#window.subarray(Math.max(0, this.#window.length + bytes.length - WINDOW_BYTES))
		this.#window = Buffer.concat([kept, bytes.subarray(-WINDOW_BYTES)])
		return deflated.subarray(0, -FLUSH_TAIL_BYTES)
	}
}

const EXTENSION = 'permessage-deflate'
const NO_CONTEXT = 'server_no_context_takeover'
/** Checks for the extension's parameters (RFC 7692 section 7.1). */
const PARAMETERS: ReadonlyMap<string, (value: string | undefined) => boolean> = new Map([
	[NO_CONTEXT, isAbsent],
	['client_no_context_takeover', isAbsent],
	['client_max_window_bits', (value) => value === undefined || isBits(value, 8)],
	['server_max_window_bits', (value) => value !== undefined && isBits(value, WINDOW_BITS)],
])

/** An acceptable offer of a client. */
export interface DeflateOffer {
	/** The offer's text in the header. */
	readonly text: string
	/** Whether the client keeps its window from one message to the next. */
	readonly keepsContext: boolean
}

/**
 * Chooses the first acceptable offer of permessage-deflate in a `Sec-WebSocket-Extensions` header.
 *
 * @returns null when there is none; messages are then not compressed, which every client must accept
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

/** Whether a value, quoted or not, is a window size from `least` to 15 bits. */
function isBits(value: string, least: number): boolean {
	const bits = /^("?)(\d+)\1$/.exec(value)?.[2]
	return bits !== undefined && Number(bits) >= least && Number(bits) <= 15
}
