import type { Json } from './json.js'

const measured = new WeakMap<object, number>()
const encoder = new TextEncoder()

const NULL_BYTES = 4

/** Measures the JSON of a value in bytes of UTF-8. Each object is measured once, because states share objects. */
export function jsonBytes(value: Json): number {
	if (value === null) return NULL_BYTES
	if (typeof value !== 'object') return countBytes(JSON.stringify(value))
	const known = measured.get(value)
	if (known !== undefined) return known
	const size = countBytes(JSON.stringify(value))
	measured.set(value, size)
	return size
}

function countBytes(text: string): number {
	return encoder.encode(text).length
}
