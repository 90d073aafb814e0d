/** Runs something once, before the page is drawn next. */
export type Frames = (run: () => void) => void

/** A page in the background is not drawn, but its title may show how far a plan is. */
const HIDDEN_MS = 250
/** Where nothing is ever drawn. */
const UNDRAWN_MS = 16

export const pageFrames: Frames = (run) => {
	if (typeof requestAnimationFrame === 'undefined') {
		setTimeout(run, UNDRAWN_MS)
		return
	}
	const once = (): void => {
		cancelAnimationFrame(frame)
		clearTimeout(timer)
		run()
	}
	const frame = requestAnimationFrame(once)
	const timer = setTimeout(once, HIDDEN_MS)
}

export interface SharedStoreOptions<View> {
	/** What there is to see before anything came. */
	readonly initial: View
	/** Follows the source until it ends or the signal aborts; never rejects. */
	readonly follow: (show: Show<View>, signal: AbortSignal) => Promise<void>
	/** Nobody looks any more, and nothing runs. */
	readonly onIdle: () => void
	readonly frames: Frames
}

/** Shows what has become of a source; the view is made when it is drawn. */
export type Show<View> = (make: () => View) => void

/**
 * One view of one source for any number of components. The source is followed while somebody looks, and the view changes once a frame
 * however much comes. Whoever leaves and comes back in one turn, as React's StrictMode lets every component do, changes nothing.
 */
export class SharedStore<View> {
	readonly #options: SharedStoreOptions<View>
	readonly #listeners = new Set<() => void>()
	#shown: View
	#make: () => View
	#running: AbortController | null = null
	#drawing = false
	#settling = false

	constructor(options: SharedStoreOptions<View>) {
		this.#options = options
		this.#shown = options.initial
		this.#make = () => options.initial
	}

	/** Changes between two frames at most. */
	get view(): View {
		return this.#shown
	}

	/** Looks on; the returned function ends it. */
	subscribe(listener: () => void): () => void {
		this.#listeners.add(listener)
		this.#settle()
		return () => {
			this.#listeners.delete(listener)
			this.#settle()
		}
	}

	/** Follows the source anew, if it is followed. */
	restart(): void {
		this.#running?.abort()
		this.#running = null
		this.#settle()
	}

	#settle(): void {
		if (this.#settling) return
		this.#settling = true
		queueMicrotask(() => {
			this.#settling = false
			if (this.#listeners.size > 0) this.#begin()
			else this.#end()
		})
	}

	#begin(): void {
		if (this.#running) return
		const running = new AbortController()
		this.#running = running
		const show = (make: () => View): void => {
			if (!running.signal.aborted) this.#show(make)
		}
		void this.#options.follow(show, running.signal)
	}

	#end(): void {
		this.#running?.abort()
		this.#running = null
		this.#options.onIdle()
	}

	#show(make: () => View): void {
		this.#make = make
		if (this.#drawing) return
		this.#drawing = true
		this.#options.frames(() => {
			this.#drawing = false
			this.#shown = this.#make()
			for (const listener of [...this.#listeners]) listener()
		})
	}
}
