const FINAL_TEXT = 0x81
const MASKED = 0x80
const LENGTH_IN_TWO_BYTES = 126
const MAX_LENGTH = 0xffff

/** Encodes a text message as a frame (RFC 6455 section 5.2). A client's frame is masked with a zero key, which leaves the text unchanged. */
export function webSocketFrame(text: string, from: 'client' | 'server'): Buffer {
	const payload = Buffer.from(text)
	if (payload.length > MAX_LENGTH) throw new RangeError(`The message has ${payload.length} bytes, the limit is ${MAX_LENGTH}.`)
	const masked = from === 'client' ? MASKED : 0
	const key = from === 'client' ? [0, 0, 0, 0] : []
	const length =
		payload.length < LENGTH_IN_TWO_BYTES
			? [masked | payload.length]
			: [masked | LENGTH_IN_TWO_BYTES, payload.length >> 8, payload.length & 0xff]
	return Buffer.concat([Buffer.from([FINAL_TEXT, ...length, ...key]), payload])
}
