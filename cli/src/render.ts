import { isPlanFinished, type PlanState, type StepState, type StepStatus } from '@planstream/shared'
import stringWidth from 'string-width'
import { clip, fitColumns, formatDuration, toOneLine, wrap } from './text.js'

/** A suggested next action, and the command for it. */
export interface Hint {
	readonly wish: string
	readonly command: string
}

/** Maximum number of open reviews suggested; the command lists the others. */
const NAMED_REVIEWS = 3

/** Suggests commands for a plan that waits for a person; none for a plan that proceeds by itself and for an external one. */
function suggestCommands({ plan_id, owner, status, steps }: PlanState): Hint[] {
	if (owner === 'external') return []
	const type = (wish: string, command: string, more = ''): Hint => ({
		wish,
		command: `planstream ${command} ${plan_id}${more}`,
	})
	const reviews = steps
		.flatMap(({ review }) => (review === null ? [] : [review.review_id]))
		.slice(0, NAMED_REVIEWS)
		.flatMap((id, index) => [
			...(index === 0 ? [type('see it', 'review')] : []),
			type('answer it', 'review', ` ${id} approve | reject | edit`),
		])
	const failed = steps.find((step) => step.status === 'failed')
	const one = failed === undefined ? [] : [type('one step', 'retry', ` ${failed.step_id}`)]
	switch (status) {
		case 'pending':
			return [type('start it', 'start')]
		case 'running':
			return reviews
		case 'pausing':
			return [...reviews, type('hurry', 'pause', ' --interrupt'), type('go on', 'resume')]
		case 'paused':
			return [...reviews, type('go on', 'resume'), type('change it', 'modify', ' FILE'), type('give up', 'cancel')]
		case 'failed':
			return [type('try again', 'retry'), ...one, type('change it', 'modify', ' FILE')]
		case 'cancelled':
			return [type('try again', 'retry')]
		case 'cancelling':
		case 'completed':
			return []
		default:
			status satisfies never
			return []
	}
}

export type Style = 'bold' | 'dim' | 'green' | 'red' | 'yellow' | 'cyan'

/** Settings for rendering a plan. */
export interface View {
	/** Milliseconds since 1970. */
	readonly now: number
	/** Columns of the terminal. */
	readonly width: number
	/** Lines of the terminal; null shows every step. */
	readonly height: number | null
	readonly paint: (style: Style, text: string) => string
}

type Cell = readonly [text: string, style?: Style]

const SPINNER = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏'
const SPINNER_MS = 100
const NAME_COLUMNS = { least: 12, part: 0.45 }
const TIME_COLUMNS = 11
const BAR_COLUMNS = 10
const HINT_COLUMNS = 10
const INDENT = '      '

const APPEARANCE: Record<StepStatus, { readonly icon: string; readonly style: Style; readonly waits: boolean | null }> = {
	pending: { icon: '·', style: 'dim', waits: true },
	ready: { icon: '·', style: 'dim', waits: true },
	running: { icon: '', style: 'cyan', waits: null },
	retrying: { icon: '↻', style: 'yellow', waits: null },
	awaiting_review: { icon: '?', style: 'yellow', waits: null },
	completed: { icon: '✔', style: 'green', waits: false },
	failed: { icon: '✖', style: 'red', waits: null },
	skipped: { icon: '-', style: 'dim', waits: false },
	cancelled: { icon: '⊘', style: 'dim', waits: false },
}

/** Renders a plan as lines for a terminal: its query, status, steps and suggested commands; errors are shown in full. */
export function render(state: PlanState, view: View): string[] {
	const head = [...renderTitle(state, view), renderSummary(state, view)]
	const error = state.error === null ? [] : renderError(state.error, '  ', view)
	const tail = [...error, ...renderHints(state, view)]
	const room = view.height === null ? null : Math.max(3, view.height - head.length - tail.length - 1)
	return [...head, ...renderSteps(state.steps, room, view), ...tail]
}

function renderHints(state: PlanState, view: View): string[] {
	return suggestCommands(state).map(({ wish, command }) =>
		joinCells([[`  ${fitColumns(wish, HINT_COLUMNS)} `, 'dim'], [toOneLine(command)]], view),
	)
}

function renderTitle({ query }: PlanState, view: View): string[] {
	return query === '' ? [] : [joinCells([[toOneLine(query), 'bold']], view)]
}

function renderSummary(state: PlanState, view: View): string {
	const done = state.steps.filter(({ status }) => status === 'completed' || status === 'skipped').length
	const elapsed = measureElapsed(state.started_at, state.finished_at, view)
	const parts: Cell[] = [
		[toOneLine(state.plan_id)],
		[state.status, choosePlanStyle(state)],
		[`${done} of ${state.steps.length} steps`],
		...(elapsed === null ? [] : [[formatDuration(elapsed)] as const]),
		...renderScore(state.quality_score),
	]
	return joinCells(separate(parts), view)
}

function choosePlanStyle(state: PlanState): Style {
	if (!isPlanFinished(state)) return state.status === 'running' ? 'cyan' : 'yellow'
	return state.status === 'completed' ? 'green' : 'red'
}

type Show = (step: StepState) => string[]

/** Renders the steps; if they do not all fit, waiting and finished ones are counted instead. */
function renderSteps(steps: readonly StepState[], room: number | null, view: View): string[] {
	const names = steps.map(({ name }) => stringWidth(toOneLine(name)))
	const columns = Math.max(NAME_COLUMNS.least, Math.min(Math.floor(view.width * NAME_COLUMNS.part), Math.max(0, ...names)))
	const show: Show = (step) => renderStep(step, columns, view)
	const all = steps.flatMap(show)
	if (room === null || all.length <= room) return all
	const waiting = (waits: boolean | null) => steps.filter(({ status }) => APPEARANCE[status].waits === waits)
	const done = renderCount(waiting(false), '✔', 'done', view)
	const rest = renderCount(waiting(true), '·', 'waiting', view)
	return [...done, ...renderOpenSteps(waiting(null), room - done.length - rest.length, show, view), ...rest]
}

/** Renders the active steps; if even they do not fit, failed ones come first. */
function renderOpenSteps(steps: readonly StepState[], room: number, show: Show, view: View): string[] {
	const lines = steps.flatMap(show)
	if (lines.length <= room) return lines
	const first = steps
		.toSorted((one, other) => Number(other.status === 'failed') - Number(one.status === 'failed'))
		.flatMap(show)
		.slice(0, Math.max(0, room - 1))
	return [...first, joinCells([[`  … ${lines.length - first.length} more lines: enlarge the window`, 'dim']], view)]
}

function renderCount(steps: readonly StepState[], icon: string, what: string, view: View): string[] {
	return steps.length === 0
		? []
		: [joinCells([[`  ${icon} ${steps.length} ${steps.length === 1 ? 'step' : 'steps'} ${what}`, 'dim']], view)]
}

function renderStep(step: StepState, nameColumns: number, view: View): string[] {
	const { style } = APPEARANCE[step.status]
	const time = step.duration_ms ?? (step.status === 'running' ? measureElapsed(step.started_at, null, view) : null)
	const cells: Cell[] = [
		[`  ${chooseIcon(step, view)} `, style],
		[fitColumns(toOneLine(step.name), nameColumns), style === 'dim' ? 'dim' : undefined] as Cell,
		[(time === null ? '' : formatDuration(time)).padStart(TIME_COLUMNS), 'dim'],
		['  '],
		...renderDetail(step, view),
	]
	const tried = step.status === 'failed' || step.status === 'retrying'
	return [joinCells(cells, view), ...(tried && step.error !== null ? renderError(step.error, INDENT, view) : [])]
}

function chooseIcon({ status }: StepState, { now }: View): string {
	if (status !== 'running') return APPEARANCE[status].icon
	return SPINNER[Math.floor(now / SPINNER_MS) % SPINNER.length] ?? ''
}

function renderDetail(step: StepState, view: View): Cell[] {
	switch (step.status) {
		case 'running':
			return [...renderProgress(step.progress), [toOneLine(step.message ?? ''), 'dim']]
		case 'retrying':
			return [[`attempt ${step.attempt + 1} ${describeWait(step.retry_at, view)}`, 'yellow']]
		case 'awaiting_review':
			return separate([
				...renderScore(step.quality_score),
				[`waits for a review: ${toOneLine(step.review?.reason ?? '')}`, 'yellow'],
			])
		case 'failed':
			return separate([
				[step.attempt > 1 ? `failed after ${step.attempt} attempts` : 'failed', 'red'],
				...renderScore(step.quality_score),
			])
		case 'completed':
			return separate([...renderScore(step.quality_score), [toOneLine(step.message ?? ''), 'dim']])
		case 'skipped':
		case 'cancelled':
			return [[step.status, 'dim']]
		case 'pending':
		case 'ready':
			return []
		default:
			step.status satisfies never
			return []
	}
}

function renderProgress(progress: number): Cell[] {
	const full = Math.floor(progress * BAR_COLUMNS)
	const percent = `${Math.floor(progress * 100)}`.padStart(4)
	return [['█'.repeat(full), 'cyan'], ['░'.repeat(BAR_COLUMNS - full), 'dim'], [`${percent} %  `]]
}

function describeWait(retry_at: string | null, { now }: View): string {
	const wait = retry_at === null ? 0 : Date.parse(retry_at) - now
	return wait > 0 ? `in ${formatDuration(wait)}` : 'is next'
}

function renderScore(quality: number | null): Cell[] {
	return quality === null ? [] : [[`quality ${quality.toFixed(2)}`]]
}

function renderError(error: { readonly code: string; readonly message: string }, indent: string, view: View): string[] {
	const text = `${toOneLine(error.code)}: ${toOneLine(error.message)}`
	const columns = Math.max(1, view.width - indent.length)
	return wrap(text, columns).map((part) => joinCells([[indent], [part, 'red']], view))
}

/** Measures the time between two server times; 0 if the server's clock is ahead of ours. */
function measureElapsed(start: string | null, end: string | null, { now }: View): number | null {
	return start === null ? null : Math.max(0, (end === null ? now : Date.parse(end)) - Date.parse(start))
}

function separate(cells: readonly Cell[]): Cell[] {
	return cells.filter(([text]) => text !== '').flatMap((cell, at) => (at === 0 ? [cell] : [[' · ', 'dim'] as const, cell]))
}

/** Joins cells into one line, cut at the width. */
function joinCells(cells: readonly Cell[], { width, paint }: View): string {
	let left = width
	let text = ''
	for (const [content, style] of cells) {
		const shown = content.trim() === '' ? content.slice(0, left) : clip(content, left)
		left -= stringWidth(shown)
		text += style === undefined || shown.trim() === '' ? shown : paint(style, shown)
	}
	return text.trimEnd()
}
