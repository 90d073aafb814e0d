import { type Argument, InvalidArgumentError, type Option } from 'commander'

/** Largest number of typing errors in a word that is still recognised. */
const MAX_ERRORS = 3

/** Restricts an option or an argument to some values, and suggests the one that was probably meant. */
export function addChoices<Target extends Option | Argument>(target: Target, values: readonly string[]): Target {
	target.choices(values)
	const { parseArg } = target as { readonly parseArg?: (value: string, before: unknown) => unknown }
	target.argParser((value: string, before: unknown) => {
		assertChoice(value, values)
		return parseArg?.(value, before)
	})
	return target
}

/** @throws InvalidArgumentError names the allowed values and the closest of them */
export function assertChoice(value: string, values: readonly string[]): void {
	if (values.includes(value)) return
	const close = findClosest(value, values)
	const meant = close === null ? '' : `\n(Did you mean ${close}?)`
	throw new InvalidArgumentError(`Allowed choices are ${values.join(', ')}.${meant}`)
}

/** Finds the value that needs the fewest changes, at most three and fewer than half of its characters. */
function findClosest(word: string, values: readonly string[]): string | null {
	let best: string | null = null
	let least = MAX_ERRORS + 1
	for (const value of values) {
		const errors = countChanges(word.toLowerCase(), value)
		if (errors >= least || errors * 2 > value.length) continue
		best = value
		least = errors
	}
	return best
}

/** Counts the characters to add, remove or replace in one word to get the other. */
function countChanges(one: string, other: string): number {
	if (Math.abs(one.length - other.length) > MAX_ERRORS) return MAX_ERRORS + 1
	let row = Array.from({ length: other.length + 1 }, (_, at) => at)
	for (const [at, character] of [...one].entries()) {
		const next = [at + 1]
		for (const [place, wanted] of [...other].entries()) {
			const replaced = (row[place] ?? 0) + (character === wanted ? 0 : 1)
			next.push(Math.min(replaced, (row[place + 1] ?? 0) + 1, (next[place] ?? 0) + 1))
		}
		row = next
	}
	return row[other.length] ?? 0
}
