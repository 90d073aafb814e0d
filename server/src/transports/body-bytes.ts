/** Text as it stands in the body of a response: in a chunk of its own (RFC 9112 section 7.1), or as it is. */
export function bodyBytes(text: string, isChunked: boolean): Buffer {
	if (!isChunked) return Buffer.from(text)
	const length = Buffer.byteLength(text)
	const head = `${length.toString(16)}\r\n`
	const bytes = Buffer.allocUnsafe(head.length + length + 2)
	bytes.write(head, 'latin1')
	bytes.write(text, head.length)
	bytes.write('\r\n', head.length + length, 'latin1')
	return bytes
}
