import { constants, inflateRawSync } from 'node:zlib'

const COMPRESSED = 0x40
/** The end of a flush, which a compressed message omits (RFC 7692 section 7.2.2). */
const FLUSH_TAIL = Buffer.from([0, 0, 0xff, 0xff])
const WINDOW_BITS = 12

/** A message of a server, as a client reads it. */
export interface ReadMessage {
	readonly text: string
	readonly isCompressed: boolean
	/** The size of its frame. */
	readonly bytes: number
}

/** Reads frames like a client that has negotiated a window of 4 KiB and keeps its context between compressed messages. */
export class MessageReader {
	readonly messages: ReadMessage[] = []
	#window = Buffer.alloc(0)

	/** @param frames - complete frames */
	read(frames: Buffer): void {
		for (let at = 0; at < frames.length; ) {
			const [from, length] = payloadOf(frames, at)
			const payload = frames.subarray(from, from + length)
			const isCompressed = ((frames[at] ?? 0) & COMPRESSED) !== 0
			const text = isCompressed ? this.#inflated(payload) : payload
			this.messages.push({ text: text.toString(), isCompressed, bytes: from + length - at })
			at = from + length
		}
	}

	#inflated(payload: Buffer): Buffer {
		const dictionary = this.#window.length === 0 ? {} : { dictionary: this.#window }
		const settings = { windowBits: WINDOW_BITS, finishFlush: constants.Z_SYNC_FLUSH, ...dictionary }
		const text = inflateRawSync(Buffer.concat([payload, FLUSH_TAIL]), settings)
		this.#window = Buffer.concat([this.#window, text]).subarray(-(2 ** WINDOW_BITS))
		return text
	}
}

/** Returns where the payload of a frame begins, and its length. */
function payloadOf(frames: Buffer, at: number): [from: number, length: number] {
	const short = frames[at + 1] ?? 0
	if (short < 126) return [at + 2, short]
	if (short === 126) return [at + 4, frames.readUInt16BE(at + 2)]
	return [at + 10, Number(frames.readBigUInt64BE(at + 2))]
}
