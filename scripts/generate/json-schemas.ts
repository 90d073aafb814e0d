import type { JsonSchema } from '@planstream/shared/schemas'
import * as z from 'zod'
import type { Catalogue } from './catalogue.js'

/** The dialects of JSON Schema that the documents speak. */
export type Dialect = 'draft-2020-12' | 'draft-7'

/** What goes to the server, or what comes from it, by the name of its type. */
export function schemasOf(
	catalogues: readonly Catalogue[],
	io: 'input' | 'output',
	uri: (name: string) => string = (name) => name,
	target: Dialect = 'draft-2020-12',
): Record<string, JsonSchema> {
	const registry = z.registry<{ id: string }>()
	for (const catalogue of catalogues) {
		for (const [name, { schema }] of Object.entries(catalogue.entries)) {
			if (catalogue.io === io || name === 'Json') registry.add(schema, { id: name })
		}
	}
	return z.toJSONSchema(registry, { io, target, unrepresentable: 'any', uri }).schemas
}

/** Every named schema, in the order of the catalogues, as the definitions of one document that refers to them below `place`. */
export function definitionsAt(place: string, catalogues: readonly Catalogue[], target?: Dialect): Record<string, JsonSchema> {
	const uri = (name: string) => `${place}${name}`
	const schemas = { input: schemasOf(catalogues, 'input', uri, target), output: schemasOf(catalogues, 'output', uri, target) }
	const entries = catalogues.flatMap(({ io, entries }) =>
		Object.entries(entries).map(([name, { doc }]): [string, JsonSchema] => {
			const { $schema: _dialect, $id: _id, id: _draft4, ...schema } = schemas[io][name] as JsonSchema & { id?: unknown }
			const description = doc ?? schema.description
			return [name, description === undefined ? schema : { description, ...schema }]
		}),
	)
	return Object.fromEntries(entries)
}

/** The type of each schema, by what it is for. */
export function typeNames(catalogues: readonly Catalogue[]): Readonly<Record<'input' | 'output', ReadonlyMap<unknown, string>>> {
	const names = { input: new Map<unknown, string>(), output: new Map<unknown, string>() }
	for (const { io, entries } of catalogues) {
		for (const [name, { schema }] of Object.entries(entries)) names[io].set(schema, name)
	}
	return names
}
