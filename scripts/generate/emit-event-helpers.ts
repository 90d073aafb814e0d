import { camel, doc, pascal, type StoredType, storedTypes } from '@planstream/shared/schemas'
import * as z from 'zod'
import { HEADER, type SourceFile } from './emit-file.js'

/** One parameter of a helper. */
interface Parameter {
	readonly name: string
	readonly type: string
	readonly optional: boolean
}

interface Helper {
	readonly type: StoredType
	/** Whether the event belongs to a plan, a step, or either. */
	readonly step: 'none' | 'required' | 'nullable'
	readonly own: readonly Parameter[]
	/** The parameter for the fields that have none of their own. */
	readonly rest: Parameter | null
}

/** Emits one method per event type that publishes such an event. */
export function emitEventHelpers(): SourceFile {
	const helpers = storedTypes.map(makeHelper)
	const types = helpers.map(({ type }) => nameInput(type)).sort()
	const imports = [
		`import type { Accepted } from '../publisher/queue.js'`,
		`import type { EventInput, ${types.join(', ')} } from './event-inputs.js'`,
	]
	const parts = [`${HEADER}\n${imports.join('\n')}`, emitInterface(helpers), emitBinding(helpers)]
	return { name: 'event-helpers.ts', text: `${parts.join('\n\n')}\n` }
}

function makeHelper(type: StoredType): Helper {
	const { properties = {}, required = [] } = z.toJSONSchema(type.data, { io: 'input', unrepresentable: 'any' })
	const data = `${nameInput(type)}['data']`
	const own = type.parameters.map((name) => ({ name, type: `${data}['${name}']`, optional: !required.includes(name) }))
	const left = Object.keys(properties).filter((name) => !type.parameters.includes(name))
	return { type, step: findStep(type.step_id), own, rest: makeRest(data, type.parameters, left, required) }
}

function makeRest(
	data: string,
	names: readonly string[],
	left: readonly string[],
	required: readonly string[],
): Parameter | null {
	if (names.length === 0) return { name: 'data', type: data, optional: false }
	if (left.length === 0) return null
	const type = `Omit<${data}, ${names.map((name) => `'${name}'`).join(' | ')}>`
	return { name: 'more', type, optional: !left.some((name) => required.includes(name)) }
}

function findStep(step_id: z.ZodType): Helper['step'] {
	if (!step_id.safeParse('step_1').success) return 'none'
	return step_id.safeParse(null).success ? 'nullable' : 'required'
}

function nameInput({ event_type }: StoredType): string {
	return `${pascal(event_type)}EventInput`
}

function emitInterface(helpers: readonly Helper[]): string {
	const methods = helpers.map((helper) => {
		const parameters = listParameters(helper).map(({ name, type, optional }) => `${name}${optional ? '?' : ''}: ${type}`)
		const about = doc([`Publishes \`${helper.type.event_type}\`. ${helper.type.meaning}`])
		return `${about}${camel(helper.type.event_type)}(${parameters.join(', ')}): Promise<Accepted>`
	})
	const about = 'One method per event type; `step_id: null` means the plan itself. `publish` accepts every field of an event.'
	return `${doc([about])}export interface EventHelpers {\n${methods.join('\n')}\n}`
}

function listParameters({ step, own, rest }: Helper): Parameter[] {
	const type = step === 'nullable' ? 'string | null' : 'string'
	const step_id = step === 'none' ? [] : [{ name: 'step_id', type, optional: false }]
	return [...step_id, ...own, ...(rest === null ? [] : [rest])]
}

function emitBinding(helpers: readonly Helper[]): string {
	const about = doc(['Binds each helper to the function that publishes its event.'])
	return `${about}export function bindEventHelpers(publish: (event: EventInput) => Promise<Accepted>): EventHelpers {
	return {\n${helpers.map(emitBound).join('\n')}\n}
}`
}

function emitBound(helper: Helper): string {
	const { type, step, own, rest } = helper
	const names = own.map(({ name }) => name)
	const data = names.length === 0 ? 'data' : `data: { ${rest === null ? '' : '...more, '}${names.join(', ')} }`
	const step_id = step === 'none' ? '' : 'step_id, '
	const parameters = listParameters(helper).map(({ name }) => name)
	return `${camel(type.event_type)}: (${parameters.join(', ')}) => publish({ event_type: '${type.event_type}', ${step_id}${data} }),`
}
