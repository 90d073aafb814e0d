import type * as z from 'zod'

type Issue = z.core.$ZodIssue

/** A path as people write it: `steps[1].depends_on`. */
export function showPath(path: readonly PropertyKey[]): string {
	return path.reduce<string>((shown, part) => {
		if (typeof part === 'number') return `${shown}[${part}]`
		return shown === '' ? String(part) : `${shown}.${String(part)}`
	}, '')
}

/** The first fault there is; in a union that of the branch that fits best, which is the one with the fewest. */
export function firstIssue(error: z.core.$ZodError): Issue {
	const [issue] = error.issues
	if (issue === undefined) throw new TypeError('a schema that refuses a value says why')
	return closest(issue)
}

function closest(issue: Issue): Issue {
	if (issue.code !== 'invalid_union') return issue
	const branches = issue.errors.filter((branch) => branch.length > 0)
	const [fault] = branches.toSorted((one, other) => one.length - other.length)[0] ?? []
	return fault === undefined ? issue : closest({ ...fault, path: [...issue.path, ...fault.path] })
}

/** What a schema found wrong, as a sentence for the person who sent it. */
export function describeIssue(issue: Issue, input: unknown): string {
	const shown = showPath(issue.path)
	const value = valueAt(input, issue.path)
	if (value === undefined && issue.code !== 'custom')
		return `${shown === '' ? 'The input' : shown} is missing; it ${rule(issue)}.`
	return `${shown === '' ? 'The input' : shown} ${rule(issue)}${received(issue, value)}.`
}

/** What was expected, as the end of a sentence. */
function rule(issue: Issue): string {
	switch (issue.code) {
		case 'invalid_type':
			return `must be ${kindName(issue.expected)}`
		case 'invalid_value':
			return issue.values.length === 1
				? `must be ${quote(issue.values[0])}`
				: `must be one of ${issue.values.map(quote).join(', ')}`
		case 'unrecognized_keys':
			return `has no field named ${issue.keys.map(quote).join(', ')}. Correct the name or leave it out`
		case 'invalid_union':
			return unionRule(issue)
		case 'too_small':
			return `must ${bound(issue.origin, 'at least', issue.minimum)}`
		case 'too_big':
			return `must ${bound(issue.origin, 'at most', issue.maximum)}`
		case 'not_multiple_of':
			return `must be a multiple of ${issue.divisor}`
		case 'invalid_key':
			return 'has a name that is not allowed here; shorten or rename it'
		case 'invalid_format':
		case 'invalid_element':
		case 'custom':
			return /^(must|is|has) /.test(issue.message) ? issue.message : `is not as expected: ${issue.message}`
		default:
			issue satisfies never
			return 'is not as expected'
	}
}

function unionRule(issue: z.core.$ZodIssueInvalidUnion): string {
	const options = 'options' in issue && Array.isArray(issue.options) ? issue.options : []
	if (options.length > 0) return `must be one of ${options.map(quote).join(', ')}`
	const kinds = issue.errors.flat().flatMap((inner) => (inner.code === 'invalid_type' ? [kindName(inner.expected)] : []))
	return kinds.length === 0 ? 'fits none of the forms that are allowed here' : `must be ${[...new Set(kinds)].join(' or ')}`
}

function bound(origin: string, relation: string, limit: number | bigint): string {
	const many = Number(limit) === 1 ? '' : 's'
	if (origin === 'string') return `have ${relation} ${limit} character${many}`
	if (origin === 'array' || origin === 'set') return `have ${relation} ${limit} item${many}`
	return `be ${relation} ${limit}`
}

/** What came instead; nothing where the rule says it all. */
function received(issue: Issue, value: unknown): string {
	if (issue.code === 'invalid_type' || (issue.code === 'invalid_union' && typeof value !== 'string'))
		return `, but is ${kindOf(value)}`
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

function kindName(expected: string): string {
	return KINDS[expected] ?? expected
}

function kindOf(value: unknown): string {
	if (Array.isArray(value)) return 'an array'
	return typeof value === 'object' && value !== null ? 'an object' : quote(value)
}

const SHOWN = 80

/** A value as it was sent, cut so that an answer never grows with its question. */
function quote(value: unknown): string {
	const text = JSON.stringify(value) ?? String(value)
	return text.length <= SHOWN ? text : `${text.slice(0, SHOWN)}…`
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
	return path.reduce<unknown>(
		(value, part) => (typeof value === 'object' && value !== null ? Reflect.get(value, part) : undefined),
		input,
	)
}
