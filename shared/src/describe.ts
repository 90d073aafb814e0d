import * as z from 'zod'
import { answerTypes, commandTypes } from './commands.js'
import type { ProcedureSpec } from './contract.js'
import { eventInputTypes, eventTypes } from './events.js'
import { frameTypes } from './frames.js'
import { json } from './json.js'
import { planTypes, specTypes } from './plans.js'
import { type JsonSchema, pascal } from './typescript.js'

/** The named types of the wire, one group per file of the SDK. */
export const typeGroups = [planTypes, eventTypes, frameTypes, specTypes, eventInputTypes, commandTypes, answerTypes] as const

/** A gap in the contract. The message names the file and the text to add. */
export class ContractError extends Error {
	override readonly name = 'ContractError'
}

type Direction = 'input' | 'output'
type Dialect = 'draft-2020-12' | 'draft-7'

/**
 * Makes the JSON Schemas of all named types of one direction, by name. They refer to each other by name.
 *
 * @param uri - makes a reference from a name; by default the name itself
 */
export function makeSchemas(
	io: Direction,
	uri: (name: string) => string = (name) => name,
	target: Dialect = 'draft-2020-12',
): Record<string, JsonSchema> {
	const registry = z.registry<{ id: string }>().add(json, { id: 'Json' })
	for (const group of typeGroups) {
		if (group.io !== io) continue
		// Versions of zod before 4.1 refuse an id that is in the registry.
		for (const { id, schema } of group.types) if (!registry.has(schema)) registry.add(schema, { id })
	}
	return z.toJSONSchema(registry, { io, target, unrepresentable: 'any', uri }).schemas
}

/** Makes every named type a definition of one document, whose references begin with `place`. */
export function makeDefinitions(place: string, target?: Dialect): Record<string, JsonSchema> {
	const uri = (name: string) => `${place}${name}`
	const schemas = { input: makeSchemas('input', uri, target), output: makeSchemas('output', uri, target) }
	const definitions = typeGroups.flatMap(({ io, types }) =>
		types.map(({ id, doc }): [string, JsonSchema] => {
			const { $schema: _dialect, $id: _id, id: _draft4, ...schema } = schemas[io][id] as JsonSchema & { id?: unknown }
			const description = doc ?? schema.description
			return [id, description === undefined ? schema : { description, ...schema }]
		}),
	)
	return Object.fromEntries(definitions)
}

/** Names of the input and output types of a procedure; a null input has no fields. */
export interface ProcedureTypes {
	readonly input: string | null
	/** For a subscription, the type of one item. */
	readonly output: string
	/** Whether a client may omit the input. */
	readonly optional: boolean
	/** Whether it is the subscription to events, which resumes after the last one; the SDK keeps the position. */
	readonly resumes: boolean
}

/**
 * Finds the types of a procedure.
 *
 * @throws ContractError for a schema without a name
 */
export function findTypes(name: string, { kind, input, output }: ProcedureSpec): ProcedureTypes {
	const optional = input.safeParse({}).success
	if (kind === 'subscription' && input instanceof z.ZodObject && 'lastEventId' in input.shape)
		return { input: 'SubscribeInput', output: 'PlanEvent', optional, resumes: true }
	const types = { input: findName('input', input), output: findName('output', output) }
	if (types.output === null) throw createMissingNameError(name, 'output', 'answerTypes')
	if (types.input === null && !optional) throw createMissingNameError(name, 'input', 'commandTypes')
	return { input: types.input, output: types.output, optional, resumes: false }
}

function createMissingNameError(procedure: string, side: Direction, group: string): ContractError {
	const id = pascal(`${procedure}.${side}`)
	const name = `.register(${group}, { id: '${id}', doc: '...' })`
	return new ContractError(
		`The ${side} of ${procedure} has no name for its type. Add ${name} to its schema in shared/src/commands.ts.`,
	)
}

function findName(io: Direction, schema: z.ZodType): string | null {
	return typeGroups.find((group) => group.io === io && group.has(schema))?.get(schema)?.id ?? null
}

/**
 * Groups the procedures of a contract by the word before the dot, in the contract's order.
 *
 * @throws ContractError for a name without a dot
 */
export function groupProcedures(contract: Readonly<Record<string, ProcedureSpec>>): Map<string, [string, ProcedureSpec][]> {
	const groups = new Map<string, [string, ProcedureSpec][]>()
	for (const [name, spec] of Object.entries(contract)) {
		const [group = '', method = ''] = name.split('.')
		if (method === '') throw new ContractError(`"${name}" in shared/src/contract.ts has no group. Name it like "plans.${name}".`)
		groups.set(group, [...(groups.get(group) ?? []), [name, spec]])
	}
	return groups
}
