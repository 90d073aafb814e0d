import { EVENT_ID_PATTERN, PLAN_ID_PATTERN, PlanstreamError, STEP_ID_PATTERN } from '@planstream/shared'

interface IdRule {
	readonly pattern: RegExp
	readonly expected: string
}

const NAME: Omit<IdRule, 'pattern'> = { expected: '1 to 255 letters, digits, "_" or "-"' }
const PLAN_ID: IdRule = { pattern: PLAN_ID_PATTERN, ...NAME }

/** The ids that an input may have. */
const IDS: ReadonlyMap<string, IdRule> = new Map([
	['plan_id', PLAN_ID],
	['new_plan_id', PLAN_ID],
	['step_id', { pattern: STEP_ID_PATTERN, ...NAME }],
	['review_id', { pattern: /^.{1,512}$/s, expected: '1 to 512 characters' }],
	['event_id', { pattern: EVENT_ID_PATTERN, expected: '1 to 128 letters, digits, ".", "_", ":" or "-"' }],
])

/**
 * Asserts that an input is an object, that it has each id that the path of its route names, and that no id in it is malformed. Nothing
 * may be sent otherwise: `undefined` in a path would be the name of a plan.
 *
 * @throws PlanstreamError `bad_request` with the `path` of the id
 */
export function assertInput(path: string, input: unknown): void {
	if (typeof input !== 'object' || input === null || Array.isArray(input)) {
		const fields = [...IDS.keys()].filter((name) => path.includes(`{${name}}`)).map((name) => `${name}: ...`)
		const form = fields.length === 0 ? '' : ` such as { ${fields.join(', ')} }`
		throw new PlanstreamError('bad_request', `The input is ${describe(input)}. Pass an object${form}.`, { path: '' })
	}
	const fields = input as Readonly<Record<string, unknown>>
	for (const [name] of IDS) {
		const isNeeded = path.includes(`{${name}}`)
		if (isNeeded || fields[name] !== undefined) assertId(name, fields[name])
	}
}

/** @throws PlanstreamError `bad_request` with the name as `path` */
export function assertId(name: 'plan_id' | 'step_id' | 'event_id' | (string & {}), value: unknown): void {
	const rule = IDS.get(name)
	if (rule === undefined || (typeof value === 'string' && rule.pattern.test(value))) return
	throw new PlanstreamError('bad_request', `${name} is ${describe(value)}. Use ${rule.expected}.`, { path: name })
}

function describe(value: unknown): string {
	return typeof value === 'string' ? JSON.stringify(value.slice(0, 80)) : value === null ? 'null' : typeof value
}
