import type { Wire } from '../delivery/outlet.js'
import type { StreamItem } from '../hub/stream-item.js'
import { DeflateContext } from './deflate-context.js'
import { compressedFrame, textFrame } from './text-frame.js'

/** By itself a smaller message is not worth it. */
const MIN_DEFLATED_BYTES = 1024

/** How the messages of a stream are framed. */
export interface Framing {
	/** Tells streams apart whose frames differ. */
	readonly key: string
	/** A message that refers to no other. */
	readonly frame: (text: string) => Buffer
	/** Whether those who get the same events one after the other are sent messages that refer to the ones before. */
	readonly keepsContext: boolean
}

export const PLAIN: Framing = { key: 'plain', frame: textFrame, keepsContext: false }
export const WITHOUT_CONTEXT: Framing = { key: 'deflated', frame: deflatedAlone, keepsContext: false }
export const WITH_CONTEXT: Framing = { key: 'context', frame: deflatedAlone, keepsContext: true }

/** A large message is compressed by itself, so that one frame still serves everybody. */
function deflatedAlone(text: string): Buffer {
	return Buffer.byteLength(text) < MIN_DEFLATED_BYTES ? textFrame(text) : compressedFrame(text, new DeflateContext())
}

/**
 * How the streams of one connection are framed. What a compressed message refers to are the compressed messages before it on the whole
 * connection, so with a context one stream at a time has messages compressed; what else goes over the connection meanwhile is not.
 */
export class Framings {
	readonly #framing: Framing
	/** The stream that has messages compressed. */
	#compressed: object | null = null

	constructor(framing: Framing) {
		this.#framing = framing
	}

	/** How a stream is framed from now on; the first that asks has messages compressed until it is over. */
	of(stream: object): Framing {
		if (!this.#framing.keepsContext) return this.#framing
		this.#compressed ??= stream
		return this.#compressed === stream ? this.#framing : PLAIN
	}

	/** The stream sends nothing more. */
	over(stream: object): void {
		if (this.#compressed === stream) this.#compressed = null
	}
}

/** The items of a stream as messages. Control frames refer to nothing and nothing refers to them: they are each reader's own. */
export function messageWire(name: string, { key, frame, keepsContext }: Framing, textOf: (item: StreamItem) => string): Wire {
	const wire: Wire = { key: `${name} ${key}`, encode: (item) => frame(textOf(item)) }
	if (!keepsContext) return wire
	const context: Wire['context'] = () => {
		const deflate = new DeflateContext()
		return {
			encode: (item) => (item.kind === 'event' ? compressedFrame(textOf(item), deflate) : textFrame(textOf(item))),
			isNew: () => deflate.isNew(),
			isFull: () => deflate.isFull(),
		}
	}
	return { ...wire, context }
}
