import type { EventOf, PlanEvent, PlanState } from '@planstream/shared'
import { createLogUpdate } from 'log-update'
import { note, paint, wantsJson, writeLine } from './output.js'
import { render, type View } from './render.js'
import { clip, toOneLine } from './text.js'

const FRAME_MS = 100
const DEFAULT_COLUMNS = 80
const DEFAULT_ROWS = 24

/** Output of a plan while it is followed. */
export interface Display {
	/** Shows the plan after an event. */
	show(state: PlanState, event: PlanEvent): Promise<void>
	/** Sets the state from which the events continue when earlier ones are gone. Not written as JSON. */
	begin(state: PlanState): void
	/** Shows a line about the connection or the history until the next event; null removes it. */
	say(text: string | null): void
	/** Draws the final state and ends. */
	close(): void
}

/** Opens a live view in a terminal, or one JSON event per line for programs. */
export function openDisplay({ json }: { readonly json: boolean }): Display {
	return wantsJson(json) ? createJsonDisplay() : createLiveDisplay()
}

function createJsonDisplay(): Display {
	return {
		show: (_state, event) => {
			if (event.event_type === 'step_failed' || event.event_type === 'plan_failed') note(describeFailure(event))
			return writeLine(JSON.stringify(event))
		},
		begin: () => {},
		say: (text) => {
			if (text !== null) note(text)
		},
		close: () => {},
	}
}

function describeFailure({ plan_id, step_id, data: { error } }: EventOf<'step_failed' | 'plan_failed'>): string {
	return toOneLine(`${step_id === null ? `Plan ${plan_id}` : `Step ${step_id}`} failed: ${error.code}: ${error.message}`)
}

function createLiveDisplay(): Display {
	const picture = createLogUpdate(process.stdout)
	let plan: PlanState | null = null
	let line: string | null = null
	let height = 0
	const draw = () => {
		const view = readTerminal()
		const state = plan === null ? [] : render(plan, view)
		const below = line === null ? [] : [view.paint('yellow', clip(line, view.width))]
		const lines = [...state, ...below]
		// log-update 7.2 does not redraw the lines below one that was added or removed.
		if (lines.length !== height) picture.clear()
		height = lines.length
		picture(lines.join('\n'))
	}
	const timer = setInterval(draw, FRAME_MS)
	return {
		show: (state) => {
			plan = state
			line = null
			return Promise.resolve()
		},
		begin: (state) => {
			plan = state
		},
		say: (text) => {
			line = text
		},
		close: () => {
			clearInterval(timer)
			picture.clear()
			picture.done()
			if (plan !== null) process.stdout.write(`${render(plan, { ...readTerminal(), height: null }).join('\n')}\n`)
		},
	}
}

/** Returns the view for this terminal. One of unknown size reports 0. */
export function readTerminal(): View {
	const { columns, rows } = process.stdout
	return { now: Date.now(), width: columns || DEFAULT_COLUMNS, height: (rows || DEFAULT_ROWS) - 1, paint }
}
