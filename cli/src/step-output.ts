import type { PlanEvent } from '@planstream/shared'
import { toLines, wrap } from './text.js'

/** Characters of output that are kept for each running step: more than any window shows of it. */
const KEPT_CHARACTERS = 4 * 1024

/** The end of what each running step has put out. */
export class StepOutputs {
	readonly #texts = new Map<string, string>()

	/** Takes the output of an event; an attempt starts with none, and a step that has ended has none. */
	take(event: PlanEvent): void {
		if (event.step_id === null) return
		if (event.event_type === 'step_output') this.#append(event.step_id, formatOutput(event.data))
		else if (ENDS.has(event.event_type)) this.#texts.delete(event.step_id)
	}

	/** Returns the last rows of a step's output, wrapped to a width; an unfinished row is one of them. */
	tail(step_id: string, rows: number, columns: number): string[] {
		const text = this.#texts.get(step_id)
		if (text === undefined || rows < 1) return []
		const tail: string[] = []
		const lines = toLines(text)
		if (lines.at(-1) === '') lines.pop()
		for (const line of lines.toReversed()) {
			tail.unshift(...wrap(line, columns))
			if (tail.length >= rows) break
		}
		return tail.slice(-rows)
	}

	#append(step_id: string, delta: string): void {
		const text = (this.#texts.get(step_id) ?? '') + delta
		// Cuts off a half at a time, so that the wrapping of what is left does not change with each event.
		const cut = text.length > 2 * KEPT_CHARACTERS ? text.slice(-KEPT_CHARACTERS) : text
		this.#texts.set(step_id, cut.slice(cut === text ? 0 : cut.indexOf('\n') + 1))
	}
}

const ENDS: ReadonlySet<PlanEvent['event_type']> = new Set([
	'step_started',
	'step_completed',
	'step_failed',
	'step_retrying',
	'step_skipped',
	'step_cancelled',
])

/** Returns the text of an output: its delta, or its value on lines of its own. */
export function formatOutput({ delta, value }: { readonly delta?: string | undefined; readonly value?: unknown }): string {
	return delta ?? (typeof value === 'string' ? `${value}\n` : `${JSON.stringify(value)}\n`)
}
