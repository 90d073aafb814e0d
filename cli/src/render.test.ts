import { applyEvent, initialPlanState, type PlanEvent, type PlanState, type StepState } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import { render, type View } from './render.js'

const START = Date.parse('2026-01-31T12:00:00.000Z')
const typeCommand = (command: string) => `planstream ${command}`
const VIEW: View = { now: START + 5000, width: 80, height: null, paint: (_style, text) => text, typeCommand }

let seq = 0
function event(event_type: PlanEvent['event_type'], step_id: string | null, data: object, atMs = 0, attempt?: number): PlanEvent {
	seq += 1
	const timestamp = new Date(START + atMs).toISOString()
	const envelope = { seq, cursor: `e.${seq}.${'0'.repeat(16)}`, event_id: `e${seq}`, plan_id: 'plan_1', timestamp }
	return { ...envelope, event_type, step_id, data, ...(attempt === undefined ? {} : { attempt }) } as PlanEvent
}

const STEP = { action: 'work', agent_type: 'scripted', on_failure: 'fail' }
const spec = {
	query: 'Which sea is the saltiest?',
	research_type: 'comprehensive',
	labels: {},
	steps: [
		{ ...STEP, step_id: 'collect', name: 'Collect the figures', depends_on: [] },
		{ ...STEP, step_id: 'compare', name: 'Compare', depends_on: ['collect'] },
		{ ...STEP, step_id: 'report', name: 'Write the report', depends_on: ['compare'] },
	],
}
const CREATED = event('plan_created', null, { spec, total_steps: 3 })
const STARTED = event('plan_started', null, { query: spec.query, total_steps: 3, research_type: 'comprehensive' })

function fold(...events: PlanEvent[]): PlanState {
	return events.reduce(applyEvent, initialPlanState('plan_1', 'managed'))
}

function frame(state: PlanState, view: Partial<View> = {}): string {
	return `\n${render(state, { ...VIEW, ...view }).join('\n')}\n`
}

const COLLECTED = [
	event('step_started', 'collect', {}, 0, 1),
	event('step_completed', 'collect', { data: {}, quality_score: 0.914, duration_ms: 1230, artifacts: [] }, 1230, 1),
]
const BROKEN = { code: 'upstream', message: 'The source does not answer.', retryable: true }

describe('render', () => {
	it('shows waiting steps', () => {
		expect(frame(fold(CREATED))).toBe(`
Which sea is the saltiest?
plan_1 · pending · 0 of 3 steps
  · Collect the figures
  · Compare
  · Write the report
  start it   planstream start plan_1
`)
	})

	it('shows progress, message and elapsed time of running steps', () => {
		const running = [
			event('step_started', 'compare', {}, 2000, 1),
			event('step_progress', 'compare', { progress: 0.45, message: '9 of 20 figures' }, 3000, 1),
		]
		expect(frame(fold(CREATED, STARTED, ...COLLECTED, ...running))).toBe(`
Which sea is the saltiest?
plan_1 · running · 1 of 3 steps · 5.0 s
  ✔ Collect the figures      1.2 s  quality 0.91
  ⠋ Compare                  3.0 s  ████░░░░░░  45 %  9 of 20 figures
  · Write the report
`)
	})

	it('shows when and why the next attempt starts', () => {
		const retrying = [
			event('step_started', 'compare', {}, 2000, 1),
			event('step_retrying', 'compare', { reason: 'error', next_attempt: 2, delay_ms: 3500, error: BROKEN }, 4000, 1),
		]
		expect(frame(fold(CREATED, STARTED, ...COLLECTED, ...retrying))).toBe(`
Which sea is the saltiest?
plan_1 · running · 1 of 3 steps · 5.0 s
  ✔ Collect the figures      1.2 s  quality 0.91
  ↻ Compare                         attempt 2 in 2.5 s
      upstream: The source does not answer.
  · Write the report
`)
	})

	it('shows the errors of a failed step and of the plan in full', () => {
		const message = 'The source does not answer, and neither do its three mirrors. Try again when it is back.'
		const failed = [
			event('step_started', 'compare', {}, 2000, 2),
			event('step_failed', 'compare', { error: { ...BROKEN, message }, duration_ms: 950 }, 2950, 2),
			event('plan_failed', null, { error: { code: 'step_failed', message: 'Step compare failed.' } }, 3000),
		]
		expect(frame(fold(CREATED, STARTED, ...COLLECTED, ...failed))).toBe(`
Which sea is the saltiest?
plan_1 · failed · 1 of 3 steps · 3.0 s
  ✔ Collect the figures      1.2 s  quality 0.91
  ✖ Compare                  0.9 s  failed after 2 attempts
      upstream: The source does not answer, and neither do its three mirrors.
      Try again when it is back.
  · Write the report
  step_failed: Step compare failed.
  try again  planstream retry plan_1
  one step   planstream retry plan_1 compare
  change it  planstream modify plan_1 FILE
`)
	})

	it('shows an error once when the plan failed by that of a step', () => {
		const failed = [
			event('step_failed', 'compare', { error: BROKEN }, 2950, 1),
			event('plan_failed', null, { error: { code: 'step_failed', message: `Step compare failed: ${BROKEN.message}` } }, 3000),
		]
		expect(frame(fold(CREATED, STARTED, ...failed)).match(/The source does not answer/g)).toHaveLength(1)
	})

	it('shows the output of running steps under them, and less of it when the window is small', () => {
		const state = fold(CREATED, STARTED, event('step_started', 'collect', {}, 0, 1))
		const tail = (_step_id: string, rows: number) => ['one', 'two', 'three', 'four'].slice(-rows)
		const shown = (height: number) => render(state, { ...VIEW, height }, tail).filter((line) => line.includes('│'))
		expect(shown(20)).toEqual(['      │ one', '      │ two', '      │ three', '      │ four'])
		expect(shown(7)).toEqual(['      │ three', '      │ four'])
		expect(shown(5)).toEqual(['      │ four'])
	})

	it('names the review that a step waits for', () => {
		const review = {
			review_id: 'r',
			reason: 'two figures differ',
			quality_score: 0.7,
			options: [],
			payload: null,
			expires_at: null,
		}
		const state = fold(CREATED, STARTED, event('review_required', 'collect', review))
		expect(frame(state)).toContain('? Collect the figures             waits for you: two figures differ')
	})

	it('ends with the duration and the quality', () => {
		const rest = ['compare', 'report'].map((id) => event('step_completed', id, { data: {}, quality_score: null, artifacts: [] }))
		const completed = event('plan_completed', null, { result: null, quality_score: 0.9 }, 64_000)
		expect(frame(fold(CREATED, STARTED, ...COLLECTED, ...rest, completed))).toBe(`
Which sea is the saltiest?
plan_1 · completed · 3 of 3 steps · 1 min 04 s · quality 0.90
  ✔ Collect the figures      1.2 s  quality 0.91
  ✔ Compare
  ✔ Write the report
`)
	})

	it('keeps every line within the width', () => {
		const names = ['海の塩分', 'a'.repeat(200)].map((name, at) => ({ ...STEP, step_id: `s${at}`, name, depends_on: [] }))
		const state = fold(event('plan_created', null, { spec: { ...spec, query: '水'.repeat(60), steps: names }, total_steps: 2 }))
		expect(frame(state, { width: 20 })).toBe(`
水水水水水水水水水…
plan_1 · pending · …
  · 海の塩分
  · aaaaaaaaaaa…
  start it
      planstream
      start plan_1
`)
	})

	it('strips control characters from names and messages', () => {
		const progress = { progress: 0.5, message: '\u001b[2Jgone\r\n\u001b]0;title\u0007 \u202eback' }
		const state = fold(CREATED, STARTED, event('step_started', 'collect', {}, 0, 1), event('step_progress', 'collect', progress))
		expect(frame(state)).toContain(' 50 %  gone back\n')
		expect(render(state, VIEW).join('')).not.toMatch(/[\p{Cc}\u202e]/u)
	})
})

describe('a plan that is higher than the window', () => {
	const steps = Array.from({ length: 100 }, (_, at) => ({ ...STEP, step_id: `s${at}`, name: `Step ${at}`, depends_on: [] }))
	const created = fold(event('plan_created', null, { spec: { ...spec, steps }, total_steps: 100 }))
	const withStatuses = (status: (at: number) => Partial<StepState>): PlanState => ({
		...created,
		status: 'running',
		steps: created.steps.map((step, at) => ({ ...step, ...status(at) })),
	})

	it('counts finished and waiting steps and shows those that are active', () => {
		const state = withStatuses((at) => (at < 40 ? { status: 'completed' } : at === 40 ? { status: 'running' } : {}))
		expect(frame(state, { height: 10 })).toBe(`
Which sea is the saltiest?
plan_1 · running · 40 of 100 steps
  ✔ 40 steps done
  ⠋ Step 40                  ░░░░░░░░░░   0 %
  · 59 steps waiting
`)
	})

	it('shows failed steps first when the active ones do not fit, and never more lines than the window has', () => {
		const state = withStatuses((at) => (at === 99 ? { status: 'failed', error: BROKEN } : { status: 'running' }))
		const lines = render(state, { ...VIEW, height: 8 })
		expect(lines).toHaveLength(8)
		expect(lines[2]).toContain('✖ Step 99')
		expect(lines[3]).toContain('upstream: The source does not answer.')
		expect(lines[7]).toContain('96 more lines')
	})

	it('suggests commands while a managed plan waits for input, and none for an external plan', () => {
		const pausing = event('plan_pausing', null, { mode: 'drain', running_step_ids: ['compare'] })
		const review = {
			review_id: 'compare.1',
			reason: 'The score 0.7 is low.',
			quality_score: 0.7,
			options: [],
			payload: null,
			expires_at: null,
		}
		const asked = [event('step_started', 'compare', {}, 1300, 1), event('review_required', 'compare', review, 2000, 1)]
		const paused = event('plan_paused', null, { mode: 'drain', running_step_ids: [] })
		const commands = (state: PlanState) => frame(state).match(/planstream .*/g)
		expect(commands(fold(CREATED, STARTED, ...COLLECTED, pausing))).toEqual([
			'planstream pause plan_1 --interrupt',
			'planstream resume plan_1',
		])
		expect(commands(fold(CREATED, STARTED, ...COLLECTED, ...asked))).toEqual([
			'planstream review plan_1',
			'planstream review plan_1 compare.1 approve  or reject, edit',
		])
		expect(commands(fold(CREATED, STARTED, ...COLLECTED, paused))).toEqual([
			'planstream resume plan_1',
			'planstream modify plan_1 FILE',
			'planstream cancel plan_1',
		])
		expect(commands({ ...fold(CREATED, STARTED, paused), owner: 'external' })).toBeNull()
		expect(commands(fold(CREATED, STARTED))).toBeNull()
	})
})
