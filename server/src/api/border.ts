import { PlanstreamError } from '@planstream/shared'
import { showPath } from '../ops/issues.js'

/** How deep a value from outside may nest. */
const MAX_DEPTH = 32

/**
 * Walks a value from outside once, before any schema sees it: JSON only, not too deep, without keys that reach a prototype, and
 * without integers that this runtime cannot hold exactly (they would come out as other numbers than were sent).
 *
 * @throws PlanstreamError `bad_request` with the `path` of what was refused
 */
export function checkJson(value: unknown): void {
	visit(value, [])
}

/** Where the walk is; one array for the whole walk. */
type Path = (string | number)[]

function visit(value: unknown, path: Path): void {
	switch (typeof value) {
		case 'string':
		case 'boolean':
			return
		case 'number':
			checkNumber(value, path)
			return
		case 'object':
			if (value !== null) visitInside(value, path)
			return
		default:
			refuse(path, `is a value of type ${typeof value}, which JSON does not have. Send JSON only`)
	}
}

function visitInside(value: object, path: Path): void {
	if (path.length >= MAX_DEPTH) refuse(path, `is nested deeper than ${MAX_DEPTH} levels. Send it flatter`, { limit: MAX_DEPTH })
	if (Array.isArray(value)) {
		for (const [index, item] of value.entries()) visitAt(index, item, path)
		return
	}
	const prototype: unknown = Object.getPrototypeOf(value)
	if (prototype !== Object.prototype && prototype !== null) refuse(path, 'is not plain JSON. Send objects and arrays only')
	for (const [key, item] of Object.entries(value)) {
		if (key === '__proto__') refuse([...path, key], 'is a name that no field may have. Rename it')
		visitAt(key, item, path)
	}
}

function visitAt(key: string | number, value: unknown, path: Path): void {
	path.push(key)
	visit(value, path)
	path.pop()
}

function checkNumber(value: number, path: Path): void {
	if (!Number.isFinite(value)) refuse(path, 'is a number too large for JSON in this server. Send it as text')
	if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
		const limit = Number.MAX_SAFE_INTEGER
		refuse(path, `is an integer beyond ${limit}, which would be changed on its way. Send it as text`, { limit })
	}
}

function refuse(path: Readonly<Path>, what: string, facts: { readonly limit?: number } = {}): never {
	const shown = showPath(path)
	throw new PlanstreamError('bad_request', `${shown === '' ? 'The input' : shown} ${what}.`, { path: shown, ...facts })
}
