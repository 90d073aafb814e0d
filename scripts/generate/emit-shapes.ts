import { contract, findTypes, type JsonSchema, makeSchemas } from '@planstream/shared/schemas'
import { HEADER, type SourceFile } from './emit-file.js'

/** Emits the shapes of all answers: the fields that every server sends, with the types of their JSON. */
export function emitShapes(): SourceFile {
	const answers = Object.entries(contract).map(([name, spec]) => findTypes(name, spec).output)
	const emitter = new ShapeEmitter(makeSchemas('output'), new Set(answers))
	for (const answer of answers) emitter.refer(answer)
	const imports = `import type { Shape } from '../types.js'`
	return { name: 'shapes.ts', text: `${HEADER}\n${imports}\n\n${emitter.declarations.join('\n\n')}\n` }
}

class ShapeEmitter {
	/** Constants in the order in which they may refer to each other. */
	readonly declarations: string[] = []
	readonly #schemas: Record<string, JsonSchema>
	readonly #exported: ReadonlySet<string>
	readonly #known = new Set<string>()

	constructor(schemas: Record<string, JsonSchema>, exported: ReadonlySet<string>) {
		this.#schemas = schemas
		this.#exported = exported
	}

	/** Writes the name of a shape and declares it first. */
	refer(name: string): string {
		const schema = this.#schemas[name]
		if (schema === undefined || name === 'Json') return `'any'`
		if (!this.#known.has(name)) {
			this.#known.add(name)
			const keyword = this.#exported.has(name) ? 'export const' : 'const'
			this.declarations.push(`${keyword} ${name} = ${this.#write(schema)} as const satisfies Shape`)
		}
		return name
	}

	#write(schema: JsonSchema): string {
		if (schema.$ref !== undefined) return this.refer(schema.$ref)
		const options = schema.oneOf ?? schema.anyOf
		if (options !== undefined) return this.#writeUnion(options.map((option) => this.#resolve(option)))
		switch (findType(schema)) {
			case 'string':
			case 'boolean':
			case 'number':
				return `'${findType(schema)}'`
			case 'array':
				return `[${this.#write((schema.items ?? {}) as JsonSchema)}]`
			case 'object':
				return this.#writeFields(schema, (field) => this.#write(field))
			default:
				return `'any'`
		}
	}

	/** Writes the fields that all options have, and their types where these are the same. */
	#writeUnion(options: readonly JsonSchema[]): string {
		const [first = {}, ...rest] = options
		if (!options.every((option) => findType(option) === 'object')) return `'any'`
		const others = rest.map((option) => new Map(this.#listFields(option)))
		const common = this.#listFields(first).filter(([name]) => others.every((fields) => fields.has(name)))
		const required = common.map(([name]) => name)
		return this.#writeFields({ properties: Object.fromEntries(common), required }, (field, name) => {
			const type = findType(this.#resolve(field))
			const isSame = others.every((fields) => findType(this.#resolve(fields.get(name) ?? {})) === type)
			return !isSame || type === 'array' || type === undefined ? `'any'` : type === 'object' ? '{}' : `'${type}'`
		})
	}

	#writeFields(schema: JsonSchema, write: (field: JsonSchema, name: string) => string): string {
		const fields = this.#listFields(schema).map(([name, field]) => `${name}: ${write(field, name)}`)
		return `{ ${fields.join(', ')} }`
	}

	/** Lists the fields that are always there and never null. */
	#listFields({ properties = {}, required = [] }: JsonSchema): [string, JsonSchema][] {
		const fields = Object.entries(properties) as [string, JsonSchema][]
		return fields.filter(([name, field]) => required.includes(name) && !mayBeNull(field))
	}

	#resolve(schema: JsonSchema): JsonSchema {
		return schema.$ref === undefined ? schema : (this.#schemas[schema.$ref] ?? {})
	}
}

function mayBeNull({ type, anyOf = [] }: JsonSchema): boolean {
	return (Array.isArray(type) && type.includes('null')) || anyOf.some((option) => option.type === 'null')
}

/** Finds the type that JavaScript gives to the JSON of a schema; undefined if there are several. */
function findType({ type, const: literal, enum: literals = [] }: JsonSchema): string | undefined {
	const known = type ?? (literal === undefined && literals.length === 0 ? undefined : typeof (literal ?? literals[0]))
	return Array.isArray(known) ? undefined : known === 'integer' ? 'number' : known
}
