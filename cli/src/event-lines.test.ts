import { initialPlanState, type PlanEvent } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import { EventLines } from './event-lines.js'

const START = Date.parse('2026-01-31T12:00:00.000Z')
const state = initialPlanState('plan_1', 'external')

let seq = 0
function event(event_type: PlanEvent['event_type'], data: object, atMs = 0): PlanEvent {
	seq += 1
	const timestamp = new Date(START + atMs).toISOString()
	return { seq, event_id: `e${seq}`, plan_id: 'plan_1', step_id: 'a', timestamp, event_type, data } as unknown as PlanEvent
}

const describeAll = (...events: PlanEvent[]) => {
	const lines = new EventLines((command) => `planstream ${command}`)
	return events.flatMap((each) => lines.describe(state, each))
}
const output = (delta: string) => event('step_output', { channel: 'text', delta })

describe('EventLines', () => {
	it('holds back the end of a line until it is complete or the step says something else', () => {
		expect(describeAll(output('on'), output('e\ntw'), output('o'), event('step_completed', { quality_score: null }))).toEqual([
			'a | one',
			'a | two',
			'a: completed',
		])
	})

	it('passes on a line without end in parts of at most 64 KiB and one output', () => {
		const lines = describeAll(...Array.from({ length: 100 }, () => output('x'.repeat(1024))))
		expect(lines).toEqual([`a | ${'x'.repeat(65 * 1024)}`])
	})

	it('prints a line about progress when the last one is five seconds ago', () => {
		const progress = (atMs: number, fraction: number) => event('step_progress', { progress: fraction, message: 'on it' }, atMs)
		expect(describeAll(progress(0, 0.1), progress(4999, 0.2), progress(5000, 0.3), progress(9000, 0.4))).toEqual([
			'a: 10 %, on it',
			'a: 30 %, on it',
		])
	})

	it('removes escape sequences, also those that come in two parts', () => {
		expect(describeAll(output('\u001b[3'), output('1mred\u001b[0m\n'))).toEqual(['a | red'])
	})
})
