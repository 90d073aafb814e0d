import { createCipheriv } from 'node:crypto'

/** Returns text of this length that compresses to no less than three quarters; the same in each run. */
export function incompressibleText(index: number, characters: number): string {
	const iv = Buffer.alloc(16)
	iv.writeUInt32BE(index)
	const bytes = createCipheriv('aes-128-ctr', Buffer.alloc(16), iv).update(Buffer.alloc(characters))
	return bytes.toString('base64').slice(0, characters)
}
