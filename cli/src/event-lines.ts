import type { PlanEvent, PlanState, StepState } from '@planstream/shared'
import { formatAnswer, nameStep, type TypeCommand } from './render.js'
import { formatOutput } from './step-output.js'
import { formatDuration, toLines, toOneLine } from './text.js'

/** Longest part of a line of output that is held back for its end. */
const HELD_CHARACTERS = 64 * 1024
/** Time between two lines about the progress of a step, by the clock of the server. */
const PROGRESS_MS = 5000

/** Describes the events of a plan in lines that only add up, for pipes, files and terminals that cannot draw over lines. */
export class EventLines {
	readonly #typeCommand: TypeCommand
	readonly #partial = new Map<string, string>()
	/** When a line about each running step was printed. */
	readonly #told = new Map<string, number>()

	constructor(typeCommand: TypeCommand) {
		this.#typeCommand = typeCommand
	}

	/** @param state - the state of the plan after the event */
	describe(state: PlanState, event: PlanEvent): string[] {
		if (event.step_id === null) return describePlan(state, event).map((text) => `${state.plan_id}: ${text}`)
		const { step_id } = event
		const step = state.steps.find((known) => known.step_id === step_id)
		if (event.event_type === 'step_output') return this.#output(step_id, formatOutput(event.data))
		const about = describeStep(step, event).map((text) => `${step_id}: ${toOneLine(text)}`)
		if (event.event_type === 'step_progress') return this.#isDue(step_id, event) ? about : []
		if (step?.status === 'running') this.#told.set(step_id, Date.parse(event.timestamp))
		else this.#told.delete(step_id)
		if (event.event_type !== 'review_required') return [...this.#flush(step_id), ...about]
		const answer = formatAnswer(state.plan_id, event.data.review_id, this.#typeCommand)
		return [...this.#flush(step_id), ...about, `  answer it with: ${answer} (or reject, edit)`]
	}

	/** Whether the last line about a step is some time ago. */
	#isDue(step_id: string, { timestamp }: PlanEvent): boolean {
		const now = Date.parse(timestamp)
		if (now - (this.#told.get(step_id) ?? 0) < PROGRESS_MS) return false
		this.#told.set(step_id, now)
		return true
	}

	#output(step_id: string, delta: string): string[] {
		const text = (this.#partial.get(step_id) ?? '') + delta
		const end = text.length > HELD_CHARACTERS ? text.length : text.lastIndexOf('\n') + 1
		if (end < text.length) this.#partial.set(step_id, text.slice(end))
		else this.#partial.delete(step_id)
		return end === 0 ? [] : formatLines(step_id, text.slice(0, end))
	}

	#flush(step_id: string): string[] {
		const text = this.#partial.get(step_id)
		this.#partial.delete(step_id)
		return text === undefined ? [] : formatLines(step_id, text)
	}
}

function formatLines(step_id: string, text: string): string[] {
	return toLines(text.replace(/\r*\n$/, '')).map((line) => `${step_id} | ${line}`.trimEnd())
}

function describePlan(state: PlanState, event: PlanEvent): string[] {
	switch (event.event_type) {
		case 'plan_created':
			return [`created with ${state.steps.length} ${state.steps.length === 1 ? 'step' : 'steps'}: ${toOneLine(state.query)}`]
		case 'plan_started':
			return ['started']
		case 'plan_completed':
			return [`completed${formatTook(event.data.duration_ms)}${formatScore(event.data.quality_score)}`]
		case 'plan_failed':
			return [`failed: ${formatFailure(event.data.error)}`]
		case 'plan_pausing':
			return ['pausing']
		case 'plan_paused':
			return ['paused']
		case 'plan_resumed':
			return [event.data.reason === 'retry' ? 'resumed for a retry' : 'resumed']
		case 'plan_cancelling':
			return ['cancelling']
		case 'plan_cancelled':
			return ['cancelled']
		case 'plan_modified':
			return [`modified to revision ${event.data.revision}, with ${state.steps.length} steps`]
		case 'error':
			return [`error: ${formatFailure(event.data)}`]
		default:
			return []
	}
}

function describeStep(step: StepState | undefined, event: PlanEvent): string[] {
	switch (event.event_type) {
		case 'step_started': {
			const name = step === undefined ? '' : nameStep(step)
			const attempt = (event.attempt ?? event.data.attempt ?? 1) > 1 ? `, attempt ${event.attempt ?? event.data.attempt}` : ''
			return [`started${attempt}${name === '' || name === event.step_id ? '' : ` (${name})`}`]
		}
		case 'step_progress':
			return [`${Math.floor(event.data.progress * 100)} %${event.data.message === '' ? '' : `, ${event.data.message}`}`]
		case 'step_completed':
			return [`completed${formatTook(event.data.duration_ms)}${formatScore(event.data.quality_score)}`]
		case 'step_failed':
			return [`failed: ${formatFailure(event.data.error)}`]
		case 'step_retrying': {
			const { reason, delay_ms, error } = event.data
			const why = error === undefined ? reason : formatFailure(error)
			return [`tries again${delay_ms > 0 ? ` in ${formatDuration(delay_ms)}` : ''}: ${why}`]
		}
		case 'step_skipped':
			return [`skipped: ${event.data.reason}`]
		case 'step_cancelled':
			return [`cancelled: ${event.data.reason}`]
		case 'review_required':
			return [`waits for you: ${event.data.reason}`]
		case 'review_resolved':
			return [`review answered: ${event.data.decision}${event.data.comment === undefined ? '' : `, ${event.data.comment}`}`]
		case 'error':
			return [`error: ${formatFailure(event.data)}`]
		default:
			return []
	}
}

function formatFailure({ code, message }: { readonly code: string; readonly message: string }): string {
	return `${toOneLine(code)}: ${toOneLine(message)}`
}

function formatTook(ms: number | undefined): string {
	return ms === undefined ? '' : ` in ${formatDuration(ms)}`
}

function formatScore(score: number | null): string {
	return score === null ? '' : `, quality ${score.toFixed(2)}`
}
