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
