import { MARK, MARK_LAYOUT } from '../events.js'

/** The byte that a mark begins with, twice. */
const MARK_BYTE = MARK.charCodeAt(0)
const ZERO = '0'.charCodeAt(0)

/** Called with the number and the stamp of each event. */
export type OnEvent = (seq: number, stamp: number) => void

/** Finds the marks in a stream of bytes in chunks of any size, and ignores everything else. */
export class Scanner {
	/** The start of an incomplete mark. */
	#rest: Buffer | null = null

	/** @param chunk - may be reused by the caller */
	scan(chunk: Buffer, onEvent: OnEvent): void {
		const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk])
		this.#rest = null
		let at = bytes.indexOf(MARK_BYTE)
		while (at !== -1) {
			const isMark = at + 1 === bytes.length || bytes[at + 1] === MARK_BYTE
			if (isMark && at + MARK_LAYOUT.length > bytes.length) {
				this.#rest = Buffer.from(bytes.subarray(at))
				return
			}
			if (isMark) onEvent(number(bytes, at, MARK_LAYOUT.seq), number(bytes, at, MARK_LAYOUT.stamp))
			at = bytes.indexOf(MARK_BYTE, at + (isMark ? MARK_LAYOUT.length : 1))
		}
	}
}

function number(bytes: Buffer, at: number, [from, to]: readonly [number, number]): number {
	let value = 0
	for (let index = at + from; index < at + to; index++) value = value * 10 + (bytes[index] ?? ZERO) - ZERO
	return value
}
