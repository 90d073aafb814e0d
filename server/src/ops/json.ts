import { showPath } from './issues.js'

/** Maximum nesting of a value from outside. */
export const MAX_JSON_DEPTH = 32

/** Removes the mark that some editors put at the beginning of a file; JSON does not allow it. */
export function removeByteOrderMark(text: string): string {
	return text.replace(/^\ufeff/, '')
}

/** The first place where a value is not JSON as this server keeps it. */
export interface JsonFault {
	readonly path: string
	/** What is wrong there, as the end of a sentence. */
	readonly what: string
	readonly limit?: number
}

export interface JsonRules {
	/** @defaultValue {@link MAX_JSON_DEPTH} */
	readonly depth?: number
	/** Whether the value was made in this process: fields may be undefined, and instances that JSON writes field by field are taken. */
	readonly local?: boolean
}

/**
 * Walks a value once and finds the first place that JSON would drop or change, or that no schema may see: values without a JSON form,
 * deep nesting, the key `__proto__`, and integers that are not exact. Every value from clients, agents and archives passes it.
 */
export function findJsonFault(value: unknown, { depth = MAX_JSON_DEPTH, local = false }: JsonRules = {}): JsonFault | null {
	return new Walk(depth, local).visit(value)
}

class Walk {
	readonly #depth: number
	readonly #local: boolean
	/** The current place; one array for the whole walk. */
	readonly #path: (string | number)[] = []

	constructor(depth: number, local: boolean) {
		this.#depth = depth
		this.#local = local
	}

	visit(value: unknown): JsonFault | null {
		switch (typeof value) {
			case 'string':
			case 'boolean':
				return null
			case 'number':
				return this.#visitNumber(value)
			case 'object':
				return value === null ? null : this.#visitObject(value)
			default:
				return this.#refuse(`is of type ${typeof value}, which does not exist in JSON. Send JSON only`)
		}
	}

	#visitNumber(value: number): JsonFault | null {
		if (!Number.isFinite(value)) return this.#refuse('is a number too large to represent. Send it as text')
		if (!Number.isInteger(value) || Number.isSafeInteger(value)) return null
		const limit = Number.MAX_SAFE_INTEGER
		return this.#refuse(`is an integer beyond ${limit}, which cannot be represented exactly. Send it as text`, limit)
	}

	#visitObject(value: object): JsonFault | null {
		const limit = this.#depth
		if (this.#path.length >= limit) return this.#refuse(`is nested deeper than ${limit} levels. Send it flatter`, limit)
		if (Array.isArray(value)) return this.#visitEach(value.entries())
		if (!isPlain(value) && !(this.#local && isWrittenAsItIs(value)))
			return this.#refuse('is not plain JSON. Send objects and arrays only')
		const entries = Object.entries(value)
		return this.#visitEach(this.#local ? entries.filter(([, item]) => item !== undefined) : entries)
	}

	#visitEach(entries: Iterable<[string | number, unknown]>): JsonFault | null {
		for (const [key, item] of entries) {
			this.#path.push(key)
			const fault = key === '__proto__' ? this.#refuse('is not allowed as a field name. Rename the field') : this.visit(item)
			if (fault !== null) return fault
			this.#path.pop()
		}
		return null
	}

	#refuse(what: string, limit?: number): JsonFault {
		return { path: showPath(this.#path), what, ...(limit !== undefined && { limit }) }
	}
}

function isPlain(value: object): boolean {
	const prototype: unknown = Object.getPrototypeOf(value)
	return prototype === Object.prototype || prototype === null
}

/**
 * Whether JSON writes an instance of a class field by field: not one with a JSON form of its own (Date), one of a built-in class (Map,
 * Promise, Error, typed arrays), or one that shows no field at all.
 */
function isWrittenAsItIs(value: object): boolean {
	return !('toJSON' in value) && Object.prototype.toString.call(value) === '[object Object]' && Object.keys(value).length > 0
}

/** Looks up a key from outside in a record, without inherited properties such as `constructor`. */
export function getOwn<Value>(record: Readonly<Record<string, Value>>, key: string): Value | undefined {
	return Object.hasOwn(record, key) ? record[key] : undefined
}
