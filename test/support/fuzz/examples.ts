import { contract, type ProcedureName, type ProcedureSpec } from '@planstream/shared/schemas'
import * as z from 'zod'
import { pick, type Random, randomBelow } from './mutate.js'

export const PROCEDURES = Object.entries(contract) as readonly (readonly [ProcedureName, ProcedureSpec])[]

const STEPS = [
	{
		step_id: 'a',
		name: 'Look',
		action: 'search',
		agent_type: 'scripted',
		input: { updates: [{ progress: 0.5 }], result: { n: 1 } },
	},
	{
		step_id: 'b',
		action: 'sum',
		agent_type: 'scripted',
		depends_on: ['a'],
		retry: { max_attempts: 2 },
		quality: { min_score: 0.5 },
	},
]
const EVENTS = [
	{ event_id: 'e-1', event_type: 'plan_started', data: { query: 'Which?', total_steps: 1 } },
	{ event_type: 'step_progress', step_id: 'a', data: { progress: 0.5 }, timestamp: '2026-01-31T12:00:00.123456+02:00' },
	{ event_type: 'error', data: { code: 'x', message: 'y' } },
]
const OPS = [
	{ op: 'update_step', step_id: 'b', patch: { name: 'Sum', retry: { max_attempts: 4 } } },
	{ op: 'add_step', step: { step_id: 'c', action: 'x', agent_type: 'scripted', depends_on: ['a'] }, after: 'a' },
	{ op: 'set_dependencies', step_id: 'b', depends_on: [] },
	{ op: 'reorder', step_ids: ['b', 'a'] },
]

/** Possible values of a field, by its name. */
const FIELDS: Readonly<Record<string, readonly unknown[]>> = {
	step_id: ['a', 'b'],
	review_id: ['a:1'],
	query: ['Which?'],
	steps: [STEPS],
	events: [EVENTS, EVENTS.slice(1)],
	ops: [OPS, OPS.slice(0, 1)],
	labels: [{ team: 'a' }],
	label: [['team=a']],
	input: [{ n: [1, { m: null }] }],
	status: [['running', 'completed']],
	event_types: [['step_progress', 'error']],
	after: ['start', 'now', 0, 2, 'aGVsbG8.2.0123456789abcdef'],
	lastEventId: ['1', 'aGVsbG8.2.0123456789abcdef'],
	follow: ['always', 'until_done'],
	decision: ['approve', 'edit'],
	mode: ['drain', 'interrupt'],
	created_after: ['2026-01-31T12:00:00Z'],
	created_before: ['2027-01-31T12:00:00+01:00'],
	idempotency_key: ['k-1', 'k-2'],
	payload: [{ n: 2 }],
	limit: [1, 100],
	max_concurrency: [2],
	wait_ms: [0],
	expected_revision: [1],
	expected_seq: [0, 1],
	start: [false, false, true],
	snapshot: [true, false],
	cascade: [true],
}

/** Generates valid inputs of procedures from their schemas, mostly without optional fields. */
export class Examples {
	readonly #fields = new Map<ProcedureName, { readonly name: string; readonly required: boolean }[]>()

	constructor() {
		for (const [name, { input }] of PROCEDURES) {
			const { properties = {}, required = [] } = z.toJSONSchema(input, { io: 'input', unrepresentable: 'any' })
			this.#fields.set(
				name,
				Object.keys(properties).map((field) => ({ name: field, required: required.includes(field) })),
			)
		}
	}

	/** @param age - inputs of different ages name different plans, so that no plan grows without bound */
	inputOf(random: Random, procedure: ProcedureName, age: number): Record<string, unknown> {
		const plan_id = `p${age}_${randomBelow(random, 3)}`
		const fields = (this.#fields.get(procedure) ?? []).filter(({ required }) => required || random() < 0.2)
		return Object.fromEntries(
			fields.map(({ name }) => [name, name === 'plan_id' ? plan_id : pick(random, FIELDS[name] ?? ['x'])]),
		)
	}
}
