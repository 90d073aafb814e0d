import type { EventOf, Json, PlanEvent, PlanState } from '@planstream/shared'
import { EventLines } from './event-lines.js'
import { LiveArea, readSize } from './live-area.js'
import { canRedraw, note, paint, writeLine } from './output.js'
import { render, type TypeCommand, type View } from './render.js'
import { listFiles, type ResultView, renderFiles, renderPlanResult } from './result.js'
import { StepOutputs } from './step-output.js'
import { clip, toOneLine } from './text.js'

const FRAME_MS = 100

/** Output of a plan while it is followed. */
export interface Display {
	/** Shows the plan after an event. */
	show(state: PlanState, event: PlanEvent): Promise<void>
	/** Sets the state from which the events continue when earlier ones are gone. Not written as JSON. */
	begin(state: PlanState): void
	/** Shows a line about the connection or the history until the next event; null removes it. */
	say(text: string | null): void
	/** Draws the final state with its result and ends. */
	close(): Promise<void>
}

export interface DisplayOptions {
	readonly json: boolean
	readonly typeCommand: TypeCommand
	/** Whether a terminal may be drawn over. @defaultValue true */
	readonly redraw?: boolean
	/** Whether to suggest commands for a plan that waits or has failed. @defaultValue true */
	readonly suggest?: boolean
	/** Whether to show the result and the files of a completed plan at the end. @defaultValue true */
	readonly result?: boolean
}

/** Opens a live view in a terminal, plain lines elsewhere, or one JSON event per line on request. */
export function openDisplay(options: DisplayOptions): Display {
	if (options.json) return createJsonDisplay()
	return canRedraw() && options.redraw !== false ? createLiveDisplay(options) : createLinesDisplay(options)
}

function createJsonDisplay(): Display {
	return {
		show: (_state, event) => {
			if (event.event_type === 'step_failed' || event.event_type === 'plan_failed') note(describeFailure(event))
			return writeLine(JSON.stringify(event))
		},
		begin: () => {},
		say: sayOnStandardError,
		close: () => Promise.resolve(),
	}
}

function sayOnStandardError(text: string | null): void {
	if (text !== null) note(text)
}

function describeFailure({ plan_id, step_id, data: { error } }: EventOf<'step_failed' | 'plan_failed'>): string {
	return toOneLine(`${step_id === null ? `Plan ${plan_id}` : `Step ${step_id}`} failed: ${error.code}: ${error.message}`)
}

function createLinesDisplay({ typeCommand, result = true }: DisplayOptions): Display {
	const lines = new EventLines(typeCommand)
	let plan: PlanState | null = null
	return {
		show: async (state, event) => {
			plan = state
			for (const line of lines.describe(state, event)) await writeLine(line)
		},
		begin: (state) => {
			plan = state
		},
		say: sayOnStandardError,
		close: async () => {
			if (plan === null) return
			for (const line of result ? renderOutcome(plan, typeCommand) : []) await writeLine(line)
		},
	}
}

function createLiveDisplay({ typeCommand, suggest = true, result = true }: DisplayOptions): Display {
	const readView = () => readTerminal(suggest ? typeCommand : null)
	const area = new LiveArea(process.stdout)
	const outputs = new StepOutputs()
	let plan: PlanState | null = null
	let line: string | null = null
	const draw = () => {
		const view = readView()
		const below = line === null ? [] : [view.paint('yellow', clip(toOneLine(line), view.width))]
		const height = view.height === null ? null : view.height - below.length
		const state = plan === null ? [] : render(plan, { ...view, height }, (...wanted) => outputs.tail(...wanted))
		area.draw([...state, ...below])
	}
	const timer = setInterval(draw, FRAME_MS)
	process.stdout.on('resize', draw)
	return {
		show: (state, event) => {
			plan = state
			line = null
			outputs.take(event)
			return Promise.resolve()
		},
		begin: (state) => {
			plan = state
		},
		say: (text) => {
			line = text
		},
		close: async () => {
			clearInterval(timer)
			process.stdout.off('resize', draw)
			area.close()
			if (plan === null) return
			const lines = render(plan, { ...readView(), height: null })
			for (const each of [...lines, ...(result ? renderOutcome(plan, typeCommand) : [])]) await writeLine(each)
		},
	}
}

/** Renders the result and the files of a completed plan, each after an empty line. */
function renderOutcome(state: PlanState, typeCommand: TypeCommand): string[] {
	if (state.status !== 'completed') return []
	const view = readResultView(typeCommand)
	const large = `The result is large. See it with: ${typeCommand(`result ${state.plan_id}`)}`
	const result = state.result_seq === undefined ? renderResultOf(state, state.result, view) : [large]
	const files = renderFiles(state.plan_id, listFiles(state), view)
	return [...(result.length > 0 ? ['', ...result] : []), ...(files.length > 0 ? ['', ...files] : [])]
}

/** Renders the result of a plan; nothing for an empty one. */
function renderResultOf(state: PlanState, result: Json, view: ResultView): string[] {
	const lines = result === null ? [] : renderPlanResult(state, result, view)
	return lines.every((line) => line === '') ? [] : lines
}

/** Returns the view for this terminal. */
export function readTerminal(typeCommand: TypeCommand | null): View {
	const { columns, rows } = readSize(process.stdout)
	return { now: Date.now(), width: columns, height: rows - 1, paint, typeCommand }
}

/** Returns the view for results: Markdown is rendered in a terminal, elsewhere it is passed on as it is. */
export function readResultView(typeCommand: TypeCommand): ResultView {
	const { isTTY } = process.stdout
	return { width: isTTY ? readSize(process.stdout).columns : Number.POSITIVE_INFINITY, markdown: isTTY, paint, typeCommand }
}
