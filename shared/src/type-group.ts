import * as z from 'zod'

/** The name of a schema in the SDK and in the descriptions of the server. A type, because zod 4.0 takes no interface there. */
export type TypeName = {
	/** Name of the type in the SDK, and of the definition in the descriptions. */
	readonly id: string
	/** One sentence above the type; null uses the schema's own description. */
	readonly doc: string | null
	/** Name of the type that this one extends. */
	readonly base?: string
}

/** Further names in a group that do not belong to a single schema. */
interface OtherNames {
	/** Named literal unions, found by their values. */
	readonly unions?: Readonly<Record<string, readonly string[]>>
	/** Interfaces with the fields that all types of the union `of` share. */
	readonly envelopes?: Readonly<Record<string, { readonly of: string; readonly doc: string }>>
}

/**
 * Creates a discriminated union with the type of a plain one: zod's own has one type parameter before 4.0.16 and two since,
 * and the published types must fit both.
 */
export function unionBy<const Options extends readonly [z.core.$ZodTypeDiscriminable, ...z.core.$ZodTypeDiscriminable[]]>(
	discriminator: string,
	options: Options,
): z.ZodUnion<Options> {
	return z.discriminatedUnion(discriminator, options)
}

/** A schema with its name. */
export interface NamedType extends TypeName {
	readonly schema: z.core.$ZodType
}

/**
 * Named schemas that become one file of the SDK. A schema gets its name where it is defined, by
 * `.register(group, { id, doc })`. The groups are registries of their own, because an `id` in zod's global registry
 * would turn a schema into a `$ref` wherever an agent or a route is described.
 */
export class TypeGroup extends z.core.$ZodRegistry<TypeName> {
	/** Name of the file in `client/src/generated`. */
	readonly file: string
	/** Direction of the types: in `input`, fields with a default are optional. */
	readonly io: 'input' | 'output'
	readonly unions: NonNullable<OtherNames['unions']>
	readonly envelopes: NonNullable<OtherNames['envelopes']>
	readonly #types = new Map<string, NamedType>()

	constructor(file: string, io: 'input' | 'output', { unions = {}, envelopes = {} }: OtherNames = {}) {
		super()
		this.file = file
		this.io = io
		this.unions = unions
		this.envelopes = envelopes
	}

	/** The named schemas in the order of their definitions. */
	get types(): readonly NamedType[] {
		return [...this.#types.values()]
	}

	/** @throws Error if another schema has this name */
	override add<Schema extends z.core.$ZodType>(schema: Schema, name: z.core.$replace<TypeName, Schema>): this {
		if (this.#types.has(name.id)) throw new Error(`Two schemas are called ${name.id}. Give one of them another id.`)
		this.#types.set(name.id, { ...name, schema })
		return super.add(schema, name)
	}
}
