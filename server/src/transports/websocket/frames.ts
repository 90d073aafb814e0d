import type { Encoding } from '../../delivery/target.js'
import type { StreamItem } from '../../hub/stream.js'
import { DeflateContext } from './deflate.js'

const FINAL_TEXT = 0x81
/** Says that the message is compressed (RFC 7692 section 6). */
const COMPRESSED = 0x40
/** Lengths up to this stand in the second byte of a frame. */
const SHORT = 125
const IN_TWO_BYTES = 126
const IN_EIGHT_BYTES = 127

/** A text message as a server sends it: one frame, not masked (RFC 6455 section 5.2). */
export function encodeTextFrame(text: string): Buffer {
	const length = Buffer.byteLength(text)
	const frame = buildFrame(FINAL_TEXT, length)
	frame.write(text, frame.length - length)
	return frame
}

/** The next message of a context. */
export function encodeCompressedFrame(text: string, context: DeflateContext): Buffer {
	const deflated = context.deflate(text)
	const frame = buildFrame(FINAL_TEXT | COMPRESSED, deflated.length)
	deflated.copy(frame, frame.length - deflated.length)
	return frame
}

/** A frame with its head filled in. */
function buildFrame(first: number, length: number): Buffer {
	const head = length <= SHORT ? 2 : length <= 0xffff ? 4 : 10
	const frame = Buffer.allocUnsafe(head + length)
	frame[0] = first
	if (length <= SHORT) frame[1] = length
	else if (length <= 0xffff) {
		frame[1] = IN_TWO_BYTES
		frame.writeUInt16BE(length, 2)
	} else {
		frame[1] = IN_EIGHT_BYTES
		frame.writeBigUInt64BE(BigInt(length), 2)
	}
	return frame
}

/** By itself a smaller message is not worth it. */
const MIN_DEFLATED_BYTES = 1024

/** How the messages of a stream are framed. */
export interface Framing {
	/** Tells streams apart whose frames differ. */
	readonly key: string
	/** A message that refers to no other. */
	readonly frame: (text: string) => Buffer
	/** Whether those who get the same events one after the other are sent messages that refer to the ones before. */
	readonly keepsContext: boolean
}

export const PLAIN: Framing = { key: 'plain', frame: encodeTextFrame, keepsContext: false }
export const WITHOUT_CONTEXT: Framing = { key: 'deflated', frame: deflateAlone, keepsContext: false }
export const WITH_CONTEXT: Framing = { key: 'context', frame: deflateAlone, keepsContext: true }

/** A large message is compressed by itself, so that one frame still serves everybody. */
function deflateAlone(text: string): Buffer {
	return Buffer.byteLength(text) < MIN_DEFLATED_BYTES ? encodeTextFrame(text) : encodeCompressedFrame(text, new DeflateContext())
}

/**
 * How the streams of one connection are framed. What a compressed message refers to are the compressed messages before it on the whole
 * connection, so with a context one stream at a time has messages compressed; what else goes over the connection meanwhile is not.
 */
export class Framings {
	readonly #framing: Framing
	/** The stream that has messages compressed. */
	#compressed: object | null = null

	constructor(framing: Framing) {
		this.#framing = framing
	}

	/** How a stream is framed from now on; the first that asks has messages compressed until it is over. */
	choose(stream: object): Framing {
		if (!this.#framing.keepsContext) return this.#framing
		this.#compressed ??= stream
		return this.#compressed === stream ? this.#framing : PLAIN
	}

	/** The stream sends nothing more. */
	release(stream: object): void {
		if (this.#compressed === stream) this.#compressed = null
	}
}

/** The items of a stream as messages. Control frames refer to nothing and nothing refers to them: they are each reader's own. */
export function createMessageEncoding(
	name: string,
	{ key, frame, keepsContext }: Framing,
	textOf: (item: StreamItem) => string,
): Encoding {
	const encoding: Encoding = { key: `${name} ${key}`, encode: (item) => frame(textOf(item)) }
	if (!keepsContext) return encoding
	const context: Encoding['context'] = () => {
		const deflate = new DeflateContext()
		return {
			encode: (item) => (item.kind === 'event' ? encodeCompressedFrame(textOf(item), deflate) : encodeTextFrame(textOf(item))),
			isNew: () => deflate.isNew(),
			isFull: () => deflate.isFull(),
		}
	}
	return { ...encoding, context }
}
