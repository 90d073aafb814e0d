import { hash, randomBytes } from 'node:crypto'

/** Bytes of randomness in an epoch: 12 characters of text. */
const EPOCH_BYTES = 9

/**
 * The name of a log's life, made when the log is made. A removed and re-made log has another one.
 *
 * @param random - source of the bytes
 * @defaultValue `crypto.randomBytes`
 */
export function newEpoch(random: (size: number) => Buffer = randomBytes): string {
	return random(EPOCH_BYTES).toString('base64url')
}

/**
 * The next link of the chain: 16 hex digits that depend on every event up to this one, so that a rewritten history shows.
 *
 * @param previous - the fingerprint before the event; `EMPTY_FINGERPRINT` before the first
 * @param text - the stored text, without `seq` and `cursor`
 */
export function nextFingerprint(previous: string, event_id: string, text: string): string {
	return hash('sha1', previous + event_id + hash('sha1', text, 'hex'), 'hex').slice(0, 16)
}

/** The event as every transport sends it: the stored text with its two late fields spliced in front of the first. */
export function encodeEvent(text: string, seq: number, cursor: string): string {
	const rest = text.slice(1)
	return `{"seq":${seq},"cursor":"${cursor}"${rest === '}' ? '' : ','}${rest}`
}
