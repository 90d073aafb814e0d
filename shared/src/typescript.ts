import type * as z from 'zod'

/** A JSON Schema. */
export type JsonSchema = z.core.JSONSchema.BaseSchema

/** Writes JSON Schemas as TypeScript types; finds the names of literal unions by their values. */
export class TypeEmitter {
	readonly #unions: ReadonlyMap<string, string>
	readonly #io: 'input' | 'output'
	/** Names that the emitted types refer to. */
	readonly used = new Set<string>()

	constructor(unions: ReadonlyMap<string, string>, io: 'input' | 'output') {
		this.#unions = unions
		this.#io = io
	}

	/** Writes a schema as a type expression. */
	type(schema: JsonSchema): string {
		if (schema.$ref !== undefined) return this.#use(schema.$ref)
		if (schema.const !== undefined) return JSON.stringify(schema.const)
		if (schema.enum) return this.#enum(schema.enum)
		if (schema.not !== undefined) return 'never'
		if (schema.allOf) return schema.allOf.map((part) => `(${this.type(part)})`).join(' & ')
		const options = schema.oneOf ?? schema.anyOf
		if (options) return options.map((option) => this.type(option)).join(' | ')
		if (Array.isArray(schema.type)) return schema.type.map((type) => this.type({ type })).join(' | ')
		switch (schema.type) {
			case 'null':
			case 'boolean':
			case 'string':
				return schema.type
			case 'integer':
			case 'number':
				return 'number'
			case 'array':
				return this.#array(schema)
			case 'object':
				return this.#object(schema)
			default:
				return this.#use('Json')
		}
	}

	/** Writes the fields of an object schema, except those named in `except`. */
	fields({ properties = {}, required = [] }: JsonSchema, except: ReadonlySet<string> = new Set()): string {
		return Object.entries(properties as Record<string, JsonSchema>)
			.filter(([name]) => !except.has(name))
			.map(([name, schema]) => {
				const [mark, absent] = required.includes(name) ? ['', ''] : ['?', ' | undefined']
				return `${this.#writeFieldDoc(schema)}readonly ${writeFieldName(name)}${mark}: ${this.type(schema)}${absent}`
			})
			.join('\n')
	}

	#array({ items, prefixItems }: JsonSchema): string {
		if (prefixItems === undefined) return `ReadonlyArray<${this.type((items ?? {}) as JsonSchema)}>`
		const rest = typeof items === 'object' ? [`...ReadonlyArray<${this.type(items as JsonSchema)}>`] : []
		return `readonly [${[...prefixItems.map((item) => this.type(item as JsonSchema)), ...rest].join(', ')}]`
	}

	/** Writes an object. Omits untyped further fields, so that a misspelt name is an error. */
	#object(schema: JsonSchema): string {
		const rest = schema.additionalProperties
		const named = Object.values(schema.properties ?? {}) as JsonSchema[]
		const isTyped = typeof rest === 'object' && (named.length === 0 || Object.keys(rest).length > 0)
		const value = isTyped ? this.type(rest) : null
		if (named.every((field) => this.type(field) === value)) return `Readonly<Record<string, ${value ?? 'never'}>>`
		return `{\n${this.fields(schema)}\n}`
	}

	/** Writes a union by its name, or by the name of the one it begins with. */
	#enum(values: readonly unknown[]): string {
		for (let length = values.length; length > 1; length--) {
			const name = this.#unions.get(JSON.stringify(values.slice(0, length)))
			if (name !== undefined) return [this.#use(name), ...values.slice(length).map((value) => JSON.stringify(value))].join(' | ')
		}
		return values.map((value) => JSON.stringify(value)).join(' | ')
	}

	#writeFieldDoc({ description, default: absent }: JsonSchema): string {
		const plain = absent !== undefined && this.#io === 'input'
		return doc([description ?? '', plain ? `@defaultValue \`${JSON.stringify(absent)}\`` : ''])
	}

	#use(name: string): string {
		this.used.add(name)
		return name
	}
}

/** Writes a comment of these lines without the empty ones; empty if all are. */
export function doc(lines: readonly string[]): string {
	const written = lines.filter((line) => line !== '')
	if (written.length === 0) return ''
	return written.length === 1 ? `/** ${written[0]} */\n` : `/**\n${written.map((line) => ` * ${line}\n`).join('')} */\n`
}

/** Writes a field name, quoted where necessary. */
function writeFieldName(name: string): string {
	return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name)
}

/** Converts a name to the case of types: `step_progress` to `StepProgress`. */
export const pascal = (name: string): string =>
	name.replace(/(?:^|[^A-Za-z0-9]+)([A-Za-z0-9])/g, (_, letter: string) => letter.toUpperCase())

/** Converts a name to the case of methods: `step_progress` to `stepProgress`. */
export const camel = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
