import type { DeflateContext } from './deflate-context.js'

const FINAL_TEXT = 0x81
/** Says that the message is compressed (RFC 7692 section 6). */
const COMPRESSED = 0x40
/** Lengths up to this stand in the second byte of a frame. */
const SHORT = 125
const IN_TWO_BYTES = 126
const IN_EIGHT_BYTES = 127

/** A text message as a server sends it: one frame, not masked (RFC 6455 section 5.2). */
export function textFrame(text: string): Buffer {
	const length = Buffer.byteLength(text)
	const frame = framed(FINAL_TEXT, length)
	frame.write(text, frame.length - length)
	return frame
}

/** The next message of a context. */
export function compressedFrame(text: string, context: DeflateContext): Buffer {
	const deflated = context.deflate(text)
	const frame = framed(FINAL_TEXT | COMPRESSED, deflated.length)
	deflated.copy(frame, frame.length - deflated.length)
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
