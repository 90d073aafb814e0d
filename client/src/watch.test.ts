import { initialPlanState, type PlanState, type ReadyFrame } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import type { PlanEvent } from './generated/events.js'
import { type Received, UNKNOWN_POSITION } from './stream-reader.js'
import { foldStates } from './watch.js'

const nothing: Received = { position: UNKNOWN_POSITION, event: null, unknown: null, frame: null }
const started = { event_type: 'plan_started', seq: 1, cursor: 'e.1', timestamp: 't', data: { query: 'q', research_type: 'r' } }
const event: Received = { ...nothing, event: started as PlanEvent }
const state: PlanState = { ...initialPlanState('p', 'managed'), seq: 7, cursor: 'e.7', status: 'paused' }
const frame: ReadyFrame = {
	frame: 'ready',
	plan_id: 'p',
	cursor: 'e.7',
	epoch: 'e',
	head_seq: 7,
	oldest_seq: 1,
	from_seq: 8,
	recovered: true,
	reset: null,
	state: null,
	plan_status: 'paused',
	owner: 'managed',
}
const ready = (fields: Partial<ReadyFrame>): Received => ({ ...nothing, frame: { ...frame, ...fields } })

describe('foldStates', () => {
	it('starts with the state in the ready frame', () => {
		const fold = foldStates('p', { from: null, onEvent: undefined })
		expect(fold(ready({ state }))).toBe(state)
		expect(fold(event)).toMatchObject({ status: 'running', owner: 'managed', seq: 1 })
	})

	it('starts with the first event of a new plan, and takes the owner from the ready frame', () => {
		const fold = foldStates('p', { from: null, onEvent: undefined })
		expect(fold(ready({ state: initialPlanState('p', 'managed') }))).toBeNull()
		expect(fold(event)).toMatchObject({ owner: 'managed', query: 'q' })
		const waiting = foldStates('p', { from: null, onEvent: undefined })
		expect([waiting(ready({ owner: null })), waiting(ready({ owner: 'managed' }))]).toEqual([null, null])
		expect(waiting(event)?.owner).toBe('managed')
	})

	it('continues from a known state unless the server resets it', () => {
		const fold = foldStates('p', { from: state, onEvent: undefined })
		expect(fold(ready({}))).toBeNull()
		expect(fold(event)).toMatchObject({ owner: 'managed', status: 'running' })
		expect(fold(ready({ reset: { reason: 'fork' }, state }))).toBe(state)
		expect(fold(ready({ reset: { reason: 'rewind' }, owner: null }))).toBeNull()
		expect(fold(event)).toEqual(foldStates('p', { from: initialPlanState('p', 'managed'), onEvent: undefined })(event))
	})

	it('advances past an event of an unknown type without reporting it', () => {
		const told: PlanEvent[] = []
		const fold = foldStates('p', { from: state, onEvent: (each) => told.push(each) })
		const unknown = { event_type: 'step_teleported', seq: 8, cursor: 'e.8', timestamp: 't' }
		expect(fold({ ...nothing, unknown })).toEqual({ ...state, created_at: 't', seq: 8, cursor: 'e.8' })
		fold(event)
		expect(told).toEqual([started])
	})
})
