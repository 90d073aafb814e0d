/** Runs a function once, before the next paint. */
export type Frames = (run: () => void) => void

/** Delay for a page in the background, which is not painted but may show progress in its title. */
const HIDDEN_MS = 250
/** Delay where nothing is ever painted. */
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
	/** The view before the first update. */
	readonly initial: View
	/** Follows the source until it ends or the signal aborts; never rejects. */
	readonly follow: (show: Show<View>, signal: AbortSignal) => Promise<void>
	/** Called when the last listener has left and nothing runs. */
	readonly onIdle: () => void
	readonly frames: Frames
}

/** Shows a new view of the source; the view is made when it is painted. */
export type Show<View> = (make: () => View) => void

/**
 * A store that shares one view of one source between any number of components. It follows the source while there are listeners, and
 * the view changes at most once a frame. A listener that unsubscribes and subscribes in one turn, as in React's StrictMode, has no effect.
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

	/** The current view; changes at most once a frame. */
	get view(): View {
		return this.#shown
	}

	/** Adds a listener; the returned function removes it. */
	subscribe(listener: () => void): () => void {
		this.#listeners.add(listener)
		this.#settle()
		return () => {
			this.#listeners.delete(listener)
			this.#settle()
		}
	}

	/** Follows the source from its start again, if there are listeners. */
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
