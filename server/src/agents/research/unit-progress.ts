import type { StepContext } from '../../plans/agent.js'

/** More reports a step than this tell a viewer nothing and fill the log. */
const REPORTS_A_STEP = 50

/**
 * Reports units of work done out of all, at most {@link REPORTS_A_STEP} times and always at the last one.
 *
 * @param unit - plural, as `files`
 */
export function unitProgress(context: StepContext, unit: string): (current: number, total: number) => void {
	let reported = 0
	return (current, total) => {
		const fraction = total === 0 ? 1 : current / total
		const mark = Math.floor(fraction * REPORTS_A_STEP)
		if (mark === reported && current < total) return
		reported = mark
		context.progress(fraction, `${current} of ${total} ${unit}`, { current, total, unit })
	}
}
