import { createHash, randomBytes } from 'node:crypto'
import { SCOPES } from '@planstream/shared/schemas'
import * as z from 'zod'

const KEY_BYTES = 32
/** Lets people and programs that look for leaked secrets know one when they see it. */
const KEY_PREFIX = 'psk_'

/** Whose plans somebody reaches. */
export const tenant = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, "_" or "-"')

/** A key as the file of keys holds it: what it may do, and nothing that could be sent in its place. */
export const apiKey = z.strictObject({
	/** Names the key in events, logs and errors. */
	id: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be 1 to 64 letters, digits, ".", "_" or "-"'),
	hash: z.string().regex(/^[0-9a-f]{64}$/, 'must be the SHA-256 of a key in 64 lower-case hex digits'),
	tenant,
	scopes: z.array(z.enum(SCOPES, `must be one of ${SCOPES.join(', ')}`)).min(1, 'must name one at least'),
	expires_at: z.iso.datetime({ offset: true, error: 'must be an ISO 8601 time with its zone' }).optional(),
})

export type ApiKey = z.output<typeof apiKey>

/** A new key, as its holder keeps it. */
export function makeKey(): string {
	return `${KEY_PREFIX}${randomBytes(KEY_BYTES).toString('base64url')}`
}

/** What is kept of a key. It was drawn from 32 random bytes, so nobody finds it by trying, and a slow hash would protect nothing. */
export function hashKey(key: string): Buffer {
	return createHash('sha256').update(key).digest()
}
