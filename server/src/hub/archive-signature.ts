import {
	createHash,
	createPrivateKey,
	createPublicKey,
	generateKeyPairSync,
	type KeyObject,
	sign as signBytes,
	verify as verifyBytes,
} from 'node:crypto'
import { PlanstreamError } from '@planstream/shared'
import type { archiveSignature } from '@planstream/shared/schemas'
import type * as z from 'zod'

/** The last line of a signed archive. */
export type ArchiveSignature = z.output<typeof archiveSignature>

const KEY_PREFIX = 'ed25519:'
/** Keeps a signature of an archive from being one of anything else. */
const DOMAIN = 'planstream-archive-3'

/** Hash of the lines of an archive, each with its line feed: neither side holds the whole archive. */
export class ArchiveDigest {
	readonly #hash = createHash('sha512-256')

	/** @param bytes - the next lines, or a piece of one */
	add(bytes: string | Uint8Array): void {
		this.#hash.update(bytes)
	}

	/** Returns the bytes to sign: they stand for the lines so far. */
	seal(tenant: string): Buffer {
		return Buffer.from(`${DOMAIN}\n${tenant}\n${this.#hash.copy().digest('hex')}`)
	}
}

/** A key pair that signs archives. */
export class ArchiveKey {
	/** The public key, by which others trust this one. */
	readonly id: string
	readonly #key: KeyObject

	private constructor(key: KeyObject) {
		this.#key = key
		this.id = `${KEY_PREFIX}${createPublicKey(key).export({ format: 'jwk' }).x}`
	}

	static make(): ArchiveKey {
		return new ArchiveKey(generateKeyPairSync('ed25519').privateKey)
	}

	/** @throws Error for a text that is not an Ed25519 private key in PEM */
	static parse(pem: string): ArchiveKey {
		const key = createPrivateKey(pem)
		if (key.asymmetricKeyType !== 'ed25519') throw new TypeError(`The key is of type ${key.asymmetricKeyType}, not ed25519.`)
		return new ArchiveKey(key)
	}

	/** The private key in PEM. */
	toPem(): string {
		return this.#key.export({ format: 'pem', type: 'pkcs8' }).toString()
	}

	sign(digest: ArchiveDigest, tenant: string): ArchiveSignature {
		return { signature: signBytes(null, digest.seal(tenant), this.#key).toString('base64url'), key: this.id, tenant }
	}
}

/**
 * Checks that a signature is one of these lines by the key it names. Whether that key is trusted is another question.
 *
 * @param line - number of the signature's line
 * @throws PlanstreamError `bad_request` with the reason `unsigned`
 */
export function assertSigned(digest: ArchiveDigest, { signature, key, tenant }: ArchiveSignature, line: number): void {
	if (verifySignature(digest.seal(tenant), signature, key)) return
	const message = `The signature in line ${line} is not one of this archive: a line was changed after the export. Export the plan again.`
	throw new PlanstreamError('bad_request', message, { reason: 'unsigned', line })
}

function verifySignature(bytes: Buffer, signature: string, key: string): boolean {
	try {
		const jwk = { kty: 'OKP', crv: 'Ed25519', x: key.slice(KEY_PREFIX.length) }
		return verifyBytes(null, bytes, createPublicKey({ key: jwk, format: 'jwk' }), Buffer.from(signature, 'base64url'))
	} catch {
		// Not every 32 bytes are a point of the curve.
		return false
	}
}
