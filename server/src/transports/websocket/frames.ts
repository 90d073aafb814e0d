import type { Encoding } from '../../delivery/target.js'
import type { StreamItem } from '../../hub/stream.js'
import { DeflateContext } from './deflate.js'

const FINAL_TEXT = 0x81
/** Bit of a compressed message (RFC 7692 section 6). */
const COMPRESSED = 0x40
/** Largest length that fits into the second byte of a frame. */
const SHORT = 125
const IN_TWO_BYTES = 126
const IN_EIGHT_BYTES = 127

/** Encodes a text message of a server: one frame, not masked (RFC 6455 section 5.2). */
export function encodeTextFrame(text: string): Buffer {
	const length = Buffer.byteLength(text)
	const frame = buildFrame(FINAL_TEXT, length)
	frame.write(text, frame.length - length)
	return frame
}

/** Encodes the next message of a compression context. */
export function encodeCompressedFrame(text: string, context: DeflateContext): Buffer {
	const deflated = context.deflate(text)
	const frame = buildFrame(FINAL_TEXT | COMPRESSED, deflated.length)
	deflated.copy(frame, frame.length - deflated.length)
	return frame
}

/** Allocates a frame and fills in its head. */
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

/** Compressing a smaller message on its own is not worth it. */
const MIN_DEFLATED_BYTES = 1024

/** How the messages of a stream are framed. */
export interface Framing {
	/** Streams with the same key share their frames. */
	readonly key: string
	/** Encodes a message that refers to no other. */
	readonly frame: (text: string) => Buffer
	/** Whether messages may refer to earlier ones, for readers that get the same events in sequence. */
	readonly keepsContext: boolean
}

export const PLAIN: Framing = { key: 'plain', frame: encodeTextFrame, keepsContext: false }
export const WITHOUT_CONTEXT: Framing = { key: 'deflated', frame: deflateAlone, keepsContext: false }
export const WITH_CONTEXT: Framing = { key: 'context', frame: deflateAlone, keepsContext: true }

/** Compresses a large message on its own, so that one frame still serves all readers. */
function deflateAlone(text: string): Buffer {
	return Buffer.byteLength(text) < MIN_DEFLATED_BYTES ? encodeTextFrame(text) : encodeCompressedFrame(text, new DeflateContext())
}

/**
 * Chooses the framing for each stream of one connection. A compressed message refers to earlier compressed messages of the whole
 * connection, so with a context only one stream at a time is compressed; all other messages are sent plain.
 */
export class Framings {
	readonly #framing: Framing
	/** The stream whose messages are compressed. */
	#compressed: object | null = null

	constructor(framing: Framing) {
		this.#framing = framing
	}

	/** Chooses a stream's framing. The first stream is compressed until it is released. */
	choose(stream: object): Framing {
		if (!this.#framing.keepsContext) return this.#framing
		this.#compressed ??= stream
		return this.#compressed === stream ? this.#framing : PLAIN
	}

	/** Releases a stream that sends nothing more. */
	release(stream: object): void {
		if (this.#compressed === stream) this.#compressed = null
	}
}

/**
 * Creates the encoding of a stream's items as messages. Control frames differ per reader, so they stay outside the compression
 * context.
 */
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
