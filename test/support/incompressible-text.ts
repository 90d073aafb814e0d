import { createCipheriv } from 'node:crypto'

/** Text of so many characters that packs to three quarters and no further; the same in each run. */
export function incompressibleText(index: number, characters: number): string {
	const iv = Buffer.alloc(16)
	iv.writeUInt32BE(index)
	const bytes = createCipheriv('aes-128-ctr', Buffer.alloc(16), iv).update(Buffer.alloc(characters))
	return bytes.toString('base64').slice(0, characters)
}
