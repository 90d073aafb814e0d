import { constants, deflateRawSync } from 'node:zlib'

const FINAL_TEXT = 0x81
/** Says that the message is compressed (RFC 7692 section 6). */
const COMPRESSED = 0x40
/** Lengths up to this stand in the second byte of a frame. */
const SHORT = 125
const IN_TWO_BYTES = 126
const IN_EIGHT_BYTES = 127

/** Smaller messages are not worth it. */
const MIN_DEFLATED_BYTES = 1024
/** What a flush ends with and a message leaves out (RFC 7692 section 7.2.1). */
const FLUSH_TAIL_BYTES = 4

/** A text message as a server sends it: one frame, not masked (RFC 6455 section 5.2). */
export function textFrame(text: string): Buffer {
	const length = Buffer.byteLength(text)
	const frame = framed(FINAL_TEXT, length)
	frame.write(text, frame.length - length)
	return frame
}

/**
 * The same for a client that takes permessage-deflate without a context: a large message is compressed by itself, so that one frame still
 * serves everybody and no connection needs memory for it.
 */
function deflatedTextFrame(text: string): Buffer {
	if (Buffer.byteLength(text) < MIN_DEFLATED_BYTES) return textFrame(text)
	const deflated = deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH })
	const length = deflated.length - FLUSH_TAIL_BYTES
	const frame = framed(FINAL_TEXT | COMPRESSED, length)
	deflated.copy(frame, frame.length - length, 0, length)
	return frame
}

/** A frame with its head filled in. */
function framed(first: number, length: number): Buffer {
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

/** How the messages of a connection are framed. */
export interface Framing {
	/** Tells connections apart whose frames differ. */
	readonly key: string
	readonly frame: (text: string) => Buffer
}

export const PLAIN: Framing = { key: 'plain', frame: textFrame }
export const DEFLATED: Framing = { key: 'deflated', frame: deflatedTextFrame }
