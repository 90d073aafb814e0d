const FINAL_TEXT = 0x81
const MASKED = 0x80
const LENGTH_IN_TWO_BYTES = 126
const MAX_LENGTH = 0xffff

/** A text message as it goes over the wire (RFC 6455 section 5.2). A client's is masked, with a key that leaves the text as it is. */
export function webSocketFrame(text: string, from: 'client' | 'server'): Buffer {
	const payload = Buffer.from(text)
	if (payload.length > MAX_LENGTH)
		throw new RangeError(`The message has ${payload.length} bytes; at most ${MAX_LENGTH} are framed.`)
	const masked = from === 'client' ? MASKED : 0
	const key = from === 'client' ? [0, 0, 0, 0] : []
	const length =
		payload.length < LENGTH_IN_TWO_BYTES
			? [masked | payload.length]
			: [masked | LENGTH_IN_TWO_BYTES, payload.length >> 8, payload.length & 0xff]
	return Buffer.concat([Buffer.from([FINAL_TEXT, ...length, ...key]), payload])
}
