import { isPlanFinished, type PlanState, type StepState, type StepStatus } from '@planstream/shared'
import stringWidth from 'string-width'
import { clip, fitColumns, formatDuration, toOneLine, wrap } from './text.js'

/** A suggested next action, the command for it, and what else could be typed. */
interface Hint {
	readonly wish: string
	readonly command: string
	readonly otherwise: string
}

/** Maximum number of open reviews suggested; the command lists the others. */
const NAMED_REVIEWS = 3

/** Builds the command that approves a review; rejecting and editing differ in its last word. */
export function formatAnswer(plan_id: string, review_id: string, type: TypeCommand): string {
	return type(`review ${plan_id} ${quoteWord(review_id)} approve`)
}

/** Completes a command of this program, such as `review ID`, to one that reaches the same server when it is typed. */
export type TypeCommand = (command: string) => string

/** Quotes a word for a shell if it needs that. */
export function quoteWord(word: string): string {
	return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`
}

/** Suggests commands for a plan that waits for a person; none for a plan that proceeds by itself and for an external one. */
function suggestCommands({ plan_id, owner, status, steps }: PlanState, complete: TypeCommand | null): Hint[] {
	if (owner === 'external' || complete === null) return []
	const type = (wish: string, command: string, more = ''): Hint => ({
		wish,
		command: complete(`${command} ${plan_id}${more}`),
		otherwise: '',
	})
	const reviews = steps
		.flatMap(({ review }) => (review === null ? [] : [review.review_id]))
		.slice(0, NAMED_REVIEWS)
		.flatMap((id, index) => [
			...(index === 0 ? [type('see it', 'review')] : []),
			{ wish: 'answer it', command: formatAnswer(plan_id, id, complete), otherwise: 'or reject, edit' },
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

export type Style = 'bold' | 'dim' | 'italic' | 'underline' | 'green' | 'red' | 'yellow' | 'cyan'

/** Settings for rendering a plan. */
export interface View {
	/** Milliseconds since 1970. */
	readonly now: number
	/** Columns of the terminal. */
	readonly width: number
	/** Lines of the terminal; null shows every step. */
	readonly height: number | null
	readonly paint: (style: Style, text: string) => string
	/** null suggests no commands. */
	readonly typeCommand: TypeCommand | null
}

/** Returns the last rows of what a running step has put out. */
export type Tail = (step_id: string, rows: number, columns: number) => readonly string[]

/** Returns the name that people know a step by: its own, or its id if it was given none and is named after its action. */
export function nameStep({ step_id, name, action }: Pick<StepState, 'step_id' | 'name' | 'action'>): string {
	return toOneLine(name === action || name === '' ? step_id : name)
}

type Cell = readonly [text: string, style?: Style]

const SPINNER = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏'
const SPINNER_MS = 100
const NAME_COLUMNS = { least: 12, part: 0.45 }
const TIME_COLUMNS = 11
const BAR_COLUMNS = 10
const HINT_COLUMNS = 10
const INDENT = '      '
const OUTPUT_MARK = '│ '
/** Rows of output under a running step. */
const OUTPUT_ROWS = 4
const NO_OUTPUT: Tail = () => []

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

/**
 * Renders a plan as lines for a terminal: its query, status, steps with their output, and suggested commands; errors are shown in
 * full. With a height the lines never exceed it.
 */
export function render(state: PlanState, view: View, tail: Tail = NO_OUTPUT): string[] {
	const head = [...renderTitle(state, view), renderSummary(state, view)]
	const error = state.error === null || repeatsStep(state) ? [] : renderError(state.error, '  ', view)
	const below = [...error, ...renderHints(state, view)]
	if (view.height === null) return [...head, ...renderSteps(state.steps, null, view, tail), ...below]
	const room = Math.max(3, view.height - head.length - below.length)
	return [...head, ...renderSteps(state.steps, room, view, tail), ...below].slice(0, view.height)
}

/** Whether the error of a plan says no more than that of a step, which is shown with the step. */
function repeatsStep({ error, steps }: PlanState): boolean {
	return steps.some((step) => step.error !== null && error?.code === 'step_failed' && error.message.endsWith(step.error.message))
}

/** Renders the suggested commands, whole: a cut command cannot be typed. */
function renderHints(state: PlanState, view: View): string[] {
	return suggestCommands(state, view.typeCommand).flatMap(({ wish, command, otherwise }) => {
		const text = toOneLine(command)
		const start = `  ${fitColumns(wish, HINT_COLUMNS)} `
		if (start.length + stringWidth(text) > view.width) {
			const rows = wrap(text, Math.max(1, view.width - INDENT.length))
			return [joinCells([[`  ${wish}`, 'dim']], view), ...rows.map((row) => joinCells([[INDENT], [row]], view))]
		}
		return [joinCells([[start, 'dim'], [text], [otherwise === '' ? '' : `  ${otherwise}`, 'dim']], view)]
	})
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
		[isWaiting(state) ? 'waits for you' : '', 'yellow'],
		[`${done} of ${state.steps.length} steps`],
		...(elapsed === null ? [] : [[formatDuration(elapsed)] as const]),
		...renderScore(state.quality_score),
	]
	return joinCells(separate(parts), view)
}

/** Whether a plan waits for a person to answer a review. */
export function isWaiting({ owner, steps }: PlanState): boolean {
	return owner === 'managed' && steps.some(({ review }) => review !== null)
}

function choosePlanStyle(state: PlanState): Style {
	if (!isPlanFinished(state)) return state.status === 'running' ? 'cyan' : 'yellow'
	return state.status === 'completed' ? 'green' : 'red'
}

type Show = (step: StepState) => string[]

/** Renders the steps; if they do not all fit, they show less output, then waiting and finished ones are counted instead. */
function renderSteps(steps: readonly StepState[], room: number | null, view: View, tail: Tail): string[] {
	const names = steps.map((step) => stringWidth(nameStep(step)))
	const widest = names.reduce((one, other) => Math.max(one, other), 0)
	const columns = Math.max(NAME_COLUMNS.least, Math.min(Math.floor(view.width * NAME_COLUMNS.part), widest))
	const showWith = (rows: number): Show => {
		return (step) => [...renderStep(step, columns, view), ...renderOutput(step, rows, view, tail)]
	}
	for (let rows = OUTPUT_ROWS; rows > 0; rows--) {
		const all = steps.flatMap(showWith(rows))
		if (room === null || all.length <= room) return all
	}
	const show = showWith(0)
	const all = steps.flatMap(show)
	if (room === null || all.length <= room) return all
	const waiting = (waits: boolean | null) => steps.filter(({ status }) => APPEARANCE[status].waits === waits)
	const done = renderCount(waiting(false), '✔', 'done', view)
	const rest = renderCount(waiting(true), '·', 'waiting', view)
	const left = room - done.length - rest.length
	const open = waiting(null)
	for (let rows = OUTPUT_ROWS; rows > 0; rows--) {
		const lines = open.flatMap(showWith(rows))
		if (lines.length <= left) return [...done, ...lines, ...rest]
	}
	return [...done, ...renderOpenSteps(open, left, show, view), ...rest]
}

function renderOutput({ step_id, status }: StepState, rows: number, view: View, tail: Tail): string[] {
	if (status !== 'running') return []
	const columns = Math.max(1, view.width - INDENT.length - OUTPUT_MARK.length)
	return tail(step_id, rows, columns).map((row) => joinCells([[INDENT], [OUTPUT_MARK, 'dim'], [row, 'dim']], view))
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
		[fitColumns(nameStep(step), nameColumns), style === 'dim' ? 'dim' : undefined] as Cell,
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
			return separate([...renderScore(step.quality_score), [`waits for you: ${toOneLine(step.review?.reason ?? '')}`, 'yellow']])
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
