import { MARK, MARK_LAYOUT } from '../events.js'

/** A mark begins with two of them. */
const MARK_BYTE = MARK.charCodeAt(0)
const ZERO = '0'.charCodeAt(0)

/** Called with the number and the stamp of each event. */
export type OnEvent = (seq: number, stamp: number) => void

/** Finds the marks in a stream of bytes, however it is cut, and looks at nothing else. */
export class Scanner {
	/** The beginning of a mark whose end has not come yet. */
	#rest: Buffer | null = null

	/** @param chunk - is not kept */
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
