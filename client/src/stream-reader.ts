import { PlanstreamError } from '@planstream/shared'
import type { SubscribeOptions } from './calling.js'
import type { ControlFrame, ProblemFrame } from './generated/frames.js'
import { type Position, type Received, receive, UNKNOWN_POSITION } from './position.js'
import { cutOrError } from './problem.js'
import type { Delivery } from './transports/transport.js'

/** What a subscription makes of what its connections bring. */
export interface StreamReader<Item> {
	/** The next connection goes on behind it; null where it begins anew. */
	readonly cursor: string | null
	/** Changes with each item that is news. */
	readonly progress: number
	/** Whether the server has said that nothing more comes. */
	readonly ended: boolean
	/**
	 * @returns null for what is no news to the user
	 * @throws Cut or PlanstreamError what the server says went wrong
	 */
	read(delivery: Delivery): Item | null
}

/** Reads a plan's stream: each event once, in order. */
export class PlanReader<Item> implements StreamReader<Item> {
	readonly #options: SubscribeOptions
	readonly #means: (received: Received) => Item | null
	#position: Position = UNKNOWN_POSITION
	#ended = false

	/** @param means - what the user gets of an event or a frame; null for nothing */
	constructor(options: SubscribeOptions, means: (received: Received) => Item | null) {
		this.#options = options
		this.#means = means
	}

	get cursor(): string | null {
		return this.#position.cursor
	}

	get progress(): number {
		return this.#position.seq
	}

	get ended(): boolean {
		return this.#ended
	}

	read(delivery: Delivery): Item | null {
		const received = receive(this.#position, delivery)
		this.#position = received.position
		if (received.frame) this.#heed(received.frame)
		if (received.unknown) this.#options.onUnknown?.(received.unknown)
		return this.#means(received)
	}

	#heed(frame: ControlFrame): void {
		switch (frame.frame) {
			case 'ready':
				if (frame.reset) this.#options.onReset?.(frame)
				this.#options.onReady?.(frame)
				return
			case 'end':
				this.#ended = !frame.resume
				return
			case 'problem':
				throw failureOf(frame)
			case 'position':
				return
		}
	}
}

/** Reads what has no position and no end: every item is news. */
export class ItemReader<Item> implements StreamReader<Item> {
	readonly cursor = null
	readonly ended = false
	#progress = 0

	get progress(): number {
		return this.#progress
	}

	read({ item }: Delivery): Item {
		if (isProblem(item)) throw failureOf(item)
		this.#progress++
		return item as Item
	}
}

function isProblem(item: unknown): item is ProblemFrame {
	return typeof item === 'object' && item !== null && 'frame' in item && item.frame === 'problem'
}

function failureOf({ frame: _frame, plan_id: _plan, cursor: _cursor, ...problem }: ProblemFrame): Error {
	return cutOrError(PlanstreamError.fromProblem(problem))
}
