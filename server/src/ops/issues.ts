import type * as z from 'zod'

type Issue = z.core.$ZodIssue

/** Formats a path as people write it: `steps[1].depends_on`. */
export function showPath(path: readonly PropertyKey[]): string {
	return path.reduce<string>((shown, part) => {
		if (typeof part === 'number') return `${shown}[${part}]`
		return shown === '' ? String(part) : `${shown}.${String(part)}`
	}, '')
}

/** Returns the first issue; in a union, that of the closest branch, which is the one with the fewest issues. */
export function findFirstIssue(error: z.core.$ZodError): Issue {
	const [issue] = error.issues
	if (issue === undefined) throw new TypeError('a failed parse must have an issue')
	return findClosest(issue)
}

function findClosest(issue: Issue): Issue {
	if (issue.code !== 'invalid_union') return issue
	const branches = issue.errors.filter((branch) => branch.length > 0)
	const [fault] = branches.toSorted((one, other) => one.length - other.length)[0] ?? []
	return fault === undefined ? issue : findClosest({ ...fault, path: [...issue.path, ...fault.path] })
}

/** Describes an issue for the sender of the value. */
export function describeIssue(issue: Issue, input: unknown): string {
	const shown = showPath(issue.path)
	const value = getValue(input, issue.path)
	if (value === undefined && issue.code !== 'custom')
		return `${shown === '' ? 'The input' : shown} is missing; it ${describeRule(issue)}.`
	return `${shown === '' ? 'The input' : shown} ${describeRule(issue)}${describeReceived(issue, value)}.`
}

/** Describes the expected value, as the end of a sentence. */
function describeRule(issue: Issue): string {
	switch (issue.code) {
		case 'invalid_type':
			return `must be ${nameKind(issue.expected)}`
		case 'invalid_value':
			return issue.values.length === 1
				? `must be ${quote(issue.values[0])}`
				: `must be one of ${issue.values.map(quote).join(', ')}`
		case 'unrecognized_keys':
			return `has no field named ${issue.keys.map(quote).join(', ')}. Correct the name or leave it out`
		case 'invalid_union':
			return describeUnion(issue)
		case 'too_small':
			return `must ${describeBound(issue.origin, 'at least', issue.minimum)}`
		case 'too_big':
			return `must ${describeBound(issue.origin, 'at most', issue.maximum)}`
		case 'not_multiple_of':
			return `must be a multiple of ${issue.divisor}`
		case 'invalid_key':
			return `has a name that ${issue.issues.find(({ message }) => /^(must|is) /.test(message))?.message ?? 'is not allowed here'}`
		case 'invalid_format':
		case 'invalid_element':
		case 'custom':
			return /^(must|is|has) /.test(issue.message) ? issue.message : `is not as expected: ${issue.message}`
		default:
			issue satisfies never
			return 'is not as expected'
	}
}

function describeUnion(issue: z.core.$ZodIssueInvalidUnion): string {
	const options = 'options' in issue && Array.isArray(issue.options) ? issue.options : []
	if (options.length > 0) return `must be one of ${options.map(quote).join(', ')}`
	const kinds = issue.errors.flat().flatMap((inner) => (inner.code === 'invalid_type' ? [nameKind(inner.expected)] : []))
	return kinds.length === 0 ? 'matches none of the allowed forms' : `must be ${[...new Set(kinds)].join(' or ')}`
}

function describeBound(origin: string, relation: string, limit: number | bigint): string {
	const many = Number(limit) === 1 ? '' : 's'
	if (origin === 'string') return `have ${relation} ${limit} character${many}`
	if (origin === 'array' || origin === 'set') return `have ${relation} ${limit} item${many}`
	return `be ${relation} ${limit}`
}

/** Describes the received value; empty where the rule is enough. */
function describeReceived(issue: Issue, value: unknown): string {
	if (issue.code === 'invalid_type' || (issue.code === 'invalid_union' && typeof value !== 'string'))
		return `, but is ${describeKind(value)}`
	if (issue.code === 'invalid_value' || issue.code === 'invalid_union') return `, but is ${quote(value)}`
	return ''
}

const KINDS: Readonly<Record<string, string>> = {
	string: 'a string',
	number: 'a number',
	int: 'an integer',
	boolean: 'true or false',
	array: 'an array',
	object: 'an object',
	record: 'an object',
	null: 'null',
}

function nameKind(expected: string): string {
	return KINDS[expected] ?? expected
}

function describeKind(value: unknown): string {
	if (Array.isArray(value)) return 'an array'
	return typeof value === 'object' && value !== null ? 'an object' : quote(value)
}

const QUOTED_CHARACTERS = 80

/** Quotes a value as it was sent, truncated so that responses do not grow with their requests. */
function quote(value: unknown): string {
	const text = JSON.stringify(value) ?? String(value)
	return text.length <= QUOTED_CHARACTERS ? text : `${text.slice(0, QUOTED_CHARACTERS)}…`
}

function getValue(input: unknown, path: readonly PropertyKey[]): unknown {
	return path.reduce<unknown>(
		(value, part) => (typeof value === 'object' && value !== null ? Reflect.get(value, part) : undefined),
		input,
	)
}
