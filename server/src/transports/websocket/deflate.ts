import { constants, deflateRawSync } from 'node:zlib'

/** How far back a message may refer, as it is agreed on with the client: 2^12 bytes. */
export const WINDOW_BITS = 12
const WINDOW_BYTES = 2 ** WINDOW_BITS
/** What a flush ends with and a message leaves out (RFC 7692 section 7.2.1). */
const FLUSH_TAIL_BYTES = 4
/** Small tables, which are quickly made and compress messages as short as ours no worse. */
const SETTINGS = { windowBits: WINDOW_BITS, memLevel: 5, finishFlush: constants.Z_SYNC_FLUSH } as const

/**
 * Compresses the messages that a receiver gets one after the other, each of which may refer to the last 4 KiB of those before it. It keeps
 * that text and no stream of zlib, so two contexts that have seen the same last 4 KiB make the same bytes from then on, whenever they began.
 */
export class DeflateContext {
	#window: Buffer = Buffer.alloc(0)

	/** Whether there is nothing yet that a message could refer to. */
	isNew(): boolean {
		return this.#window.length === 0
	}

	/** Whether it makes no difference any more when this began. */
	isFull(): boolean {
		return this.#window.length === WINDOW_BYTES
	}

	/** The next message, as its receivers expect it who have got all messages of this context and no other compressed one in between. */
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
