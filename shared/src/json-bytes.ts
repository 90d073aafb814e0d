import type { Json } from './json.js'

const measured = new WeakMap<object, number>()
const encoder = new TextEncoder()

/** Size of a value as JSON in UTF-8; an object is measured once, states share their objects. */
export function jsonBytes(value: Json): number {
	if (typeof value !== 'object' || value === null) return utf8Bytes(JSON.stringify(value))
	const known = measured.get(value)
	if (known !== undefined) return known
	const size = utf8Bytes(JSON.stringify(value))
	measured.set(value, size)
	return size
}

function utf8Bytes(text: string): number {
	return encoder.encode(text).length
}
