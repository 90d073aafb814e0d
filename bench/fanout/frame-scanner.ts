import { constants, inflateRawSync } from 'node:zlib'
import { type OnEvent, Scanner } from './scanner.js'

const COMPRESSED = 0x40
const IN_TWO_BYTES = 126
const SHORT_HEAD = 2
const LONG_HEAD = 4
/** The end of a flush, which a message omits (RFC 7692 section 7.2.2). */
const FLUSH_TAIL = Buffer.from([0, 0, 0xff, 0xff])
const WINDOW_BITS = 12

/**
 * Finds the events in a stream of WebSocket frames, some of which are compressed. A compressed frame holds one event: it is inflated
 * and scanned, or counted as the next one.
 */
export class FrameScanner {
	readonly #inflates: boolean
	readonly #scanner = new Scanner()
	/** The start of an incomplete frame. */
	#rest: Buffer | null = null
	#window: Buffer = Buffer.alloc(0)
	#next = 0

	/** @param inflates - whether to inflate and scan compressed frames */
	constructor(inflates: boolean) {
		this.#inflates = inflates
	}

	/** @param chunk - may be reused by the caller */
	scan(chunk: Buffer, onEvent: OnEvent): void {
		const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk])
		let at = 0
		for (let end = findFrameEnd(bytes, at); end <= bytes.length; end = findFrameEnd(bytes, at)) {
			this.#read(bytes.subarray(at, end), onEvent)
			at = end
		}
		this.#rest = at === bytes.length ? null : Buffer.from(bytes.subarray(at))
	}

	#read(frame: Buffer, onEvent: OnEvent): void {
		const count: OnEvent = (seq, stamp) => {
			this.#next = seq + 1
			onEvent(seq, stamp)
		}
		const payload = frame.subarray(frame[1] === IN_TWO_BYTES ? LONG_HEAD : SHORT_HEAD)
		if (((frame[0] ?? 0) & COMPRESSED) === 0) this.#scanner.scan(payload, count)
		else if (this.#inflates) this.#scanner.scan(this.#inflated(payload), count)
		else count(this.#next, 0)
	}

	#inflated(payload: Buffer): Buffer {
		const dictionary = this.#window.length === 0 ? {} : { dictionary: this.#window }
		const settings = { windowBits: WINDOW_BITS, finishFlush: constants.Z_SYNC_FLUSH, ...dictionary }
		const text = inflateRawSync(Buffer.concat([payload, FLUSH_TAIL]), settings)
		this.#window = Buffer.concat([this.#window, text]).subarray(-(2 ** WINDOW_BITS))
		return text
	}
}

/** Finds the end of the frame that begins here; beyond the buffer if the head is incomplete. */
function findFrameEnd(bytes: Buffer, at: number): number {
	if (bytes.length < at + SHORT_HEAD) return Number.POSITIVE_INFINITY
	const short = bytes[at + 1] ?? 0
	if (short < IN_TWO_BYTES) return at + SHORT_HEAD + short
	return bytes.length < at + LONG_HEAD ? Number.POSITIVE_INFINITY : at + LONG_HEAD + bytes.readUInt16BE(at + SHORT_HEAD)
}
