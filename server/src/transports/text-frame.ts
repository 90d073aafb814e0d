const FINAL_TEXT = 0x81
/** Lengths up to this stand in the second byte of a frame. */
const SHORT = 125
const IN_TWO_BYTES = 126
const IN_EIGHT_BYTES = 127

/** A text message as a server sends it: one frame, not masked (RFC 6455 section 5.2). */
export function textFrame(text: string): Buffer {
	const length = Buffer.byteLength(text)
	const head = length <= SHORT ? 2 : length <= 0xffff ? 4 : 10
	const frame = Buffer.allocUnsafe(head + length)
	frame[0] = FINAL_TEXT
	if (length <= SHORT) frame[1] = length
	else if (length <= 0xffff) {
		frame[1] = IN_TWO_BYTES
		frame.writeUInt16BE(length, 2)
	} else {
		frame[1] = IN_EIGHT_BYTES
		frame.writeBigUInt64BE(BigInt(length), 2)
	}
	frame.write(text, head)
	return frame
}
