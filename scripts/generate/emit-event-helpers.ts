import type { EventType } from '@planstream/shared'
import { camel, doc, eventData, eventInput, pascal } from '@planstream/shared/schemas'
import * as z from 'zod'
import { EVENT_MEANINGS } from '../docs-words.js'
import { HEADER, type SourceFile } from './emit-file.js'

type PublishedType = keyof typeof EVENT_MEANINGS

/** Fields of the data that stand in a helper's own parameters, in this order; the others go into its last one. */
const PARAMETERS: Readonly<Partial<Record<PublishedType, readonly string[]>>> = {
	plan_created: ['spec', 'total_steps'],
	plan_started: ['query', 'total_steps'],
	plan_completed: ['result'],
	plan_failed: ['error'],
	plan_pausing: ['mode', 'running_step_ids'],
	plan_paused: ['reason'],
	plan_resumed: ['reason'],
	plan_cancelling: ['running_step_ids', 'reason'],
	plan_cancelled: ['reason'],
	step_started: ['name'],
	step_progress: ['progress', 'message'],
	step_output: ['delta'],
	step_completed: ['data'],
	step_failed: ['error'],
	step_retrying: ['reason'],
	step_skipped: ['reason'],
	step_cancelled: ['reason'],
	quality_check: ['quality_score', 'decision', 'passed'],
	review_required: ['review_id', 'reason'],
	review_resolved: ['review_id', 'decision'],
	health_update: ['component', 'status', 'detail'],
	error: ['code', 'message'],
}

/** One parameter of a helper. */
interface Parameter {
	readonly name: string
	readonly type: string
	readonly optional: boolean
}

interface Helper {
	readonly type: PublishedType
	/** Whether the event has a step: always, or for a plan or a step. */
	readonly step: 'none' | 'required' | 'nullable'
	readonly own: readonly Parameter[]
	/** The fields that have no parameter of their own. */
	readonly rest: Parameter | null
}

/** A method a type of event, named for it, that publishes such an event. */
export function emitEventHelpers(): SourceFile {
	const helpers = eventInput.options.map((option) => helperOf(option.shape.event_type.value, option.shape.step_id))
	const types = helpers.map(({ type }) => inputType(type)).sort()
	const imports = [
		`import type { Accepted } from '../publisher/queue.js'`,
		`import type { EventInput, ${types.join(', ')} } from './event-inputs.js'`,
	]
	const parts = [`${HEADER}\n${imports.join('\n')}`, emitInterface(helpers), emitBinding(helpers)]
	return { name: 'event-helpers.ts', text: `${parts.join('\n\n')}\n` }
}

function helperOf(type: PublishedType, step_id: z.ZodType): Helper {
	const { properties = {}, required = [] } = z.toJSONSchema(eventData[type], { io: 'input', unrepresentable: 'any' })
	const names = PARAMETERS[type] ?? []
	for (const name of names) if (!(name in properties)) throw new Error(`${type} has no ${name}; correct PARAMETERS.`)
	const data = `${inputType(type)}['data']`
	const own = names.map((name) => ({ name, type: `${data}['${name}']`, optional: !required.includes(name) }))
	const left = Object.keys(properties).filter((name) => !names.includes(name))
	return { type, step: stepOf(step_id), own, rest: restOf(data, names, left, required) }
}

function restOf(data: string, names: readonly string[], left: readonly string[], required: readonly string[]): Parameter | null {
	if (names.length === 0) return { name: 'data', type: data, optional: false }
	if (left.length === 0) return null
	const type = `Omit<${data}, ${names.map((name) => `'${name}'`).join(' | ')}>`
	return { name: 'more', type, optional: !left.some((name) => required.includes(name)) }
}

function stepOf(step_id: z.ZodType): Helper['step'] {
	if (!step_id.safeParse('step_1').success) return 'none'
	return step_id.safeParse(null).success ? 'nullable' : 'required'
}

function inputType(type: EventType): string {
	return `${pascal(type)}EventInput`
}

function emitInterface(helpers: readonly Helper[]): string {
	const methods = helpers.map((helper) => {
		const parameters = parametersOf(helper).map(({ name, type, optional }) => `${name}${optional ? '?' : ''}: ${type}`)
		const about = doc([`Publishes \`${helper.type}\`. ${EVENT_MEANINGS[helper.type]}`])
		return `${about}${camel(helper.type)}(${parameters.join(', ')}): Promise<Accepted>`
	})
	const about =
		'A method for each type of event; `step_id: null` stands for the plan itself. `publish` takes all that an event may hold.'
	return `${doc([about])}export interface EventHelpers {\n${methods.join('\n')}\n}`
}

function parametersOf({ step, own, rest }: Helper): Parameter[] {
	const type = step === 'nullable' ? 'string | null' : 'string'
	const step_id = step === 'none' ? [] : [{ name: 'step_id', type, optional: false }]
	return [...step_id, ...own, ...(rest === null ? [] : [rest])]
}

function emitBinding(helpers: readonly Helper[]): string {
	const about = doc(['Binds each helper to where its event goes.'])
	return `${about}export function bindEventHelpers(publish: (event: EventInput) => Promise<Accepted>): EventHelpers {
	return {\n${helpers.map(bind).join('\n')}\n}
}`
}

function bind(helper: Helper): string {
	const { type, step, own, rest } = helper
	const names = own.map(({ name }) => name)
	const data = names.length === 0 ? 'data' : `data: { ${rest === null ? '' : '...more, '}${names.join(', ')} }`
	const step_id = step === 'none' ? '' : 'step_id, '
	const parameters = parametersOf(helper).map(({ name }) => name)
	return `${camel(type)}: (${parameters.join(', ')}) => publish({ event_type: '${type}', ${step_id}${data} }),`
}
