/** Returns a number from 0 up to, but not including, 1. */
export type Random = () => number

/** Creates a generator that returns the same numbers for the same seed (mulberry32). */
export function seeded(seed: number): Random {
	let state = seed | 0
	return () => {
		state = (state + 0x6d2b79f5) | 0
		let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
	}
}

export function randomBelow(random: Random, limit: number): number {
	return Math.floor(random() * limit)
}

export function pick<Item>(random: Random, items: readonly Item[]): Item {
	const item = items[randomBelow(random, items.length)]
	if (item === undefined) throw new RangeError('There is nothing to pick from.')
	return item
}

/** Texts that parsers are known to mishandle. */
const TEXTS = [
	...[
		'',
		' ',
		'\0',
		'\n',
		'\r\n',
		'\t',
		'"',
		"'",
		'\\',
		'/',
		'//',
		'../',
		'?',
		'#',
		'&',
		'=',
		',',
		';',
		':',
		'%',
		'%00',
		'%2F',
		'%zz',
	],
	...[
		'{',
		'}',
		'[',
		']',
		'{}',
		'[]',
		'null',
		'true',
		'NaN',
		'-0',
		'1e999',
		'9007199254740993',
		'1.5',
		'-1',
		'2026-02-30T00:00:00Z',
	],
	...[
		'__proto__',
		'constructor',
		'toString',
		'start',
		'now',
		'0',
		'system',
		'ready',
		'ä€😀',
		'\ud800',
		'\u2028',
		'\ufeff',
		'\x7f',
		'\xff',
	],
	...['x'.repeat(300), '9'.repeat(400), '['.repeat(200), '{"a":'.repeat(60), "' OR 1=1 --", '%s%n', '*', '$', '^(a+)+$'],
]

const VALUES: readonly unknown[] = [
	...[null, true, false, 0, -0, -1, 1, 1.5, 2 ** 31, 2 ** 53, -(2 ** 53), 1e308, 1e-308, {}, [], [[]], [null], { a: 1 }],
	...[{ plan_id: 'p' }, ['p', 'p'], { toString: 1 }, { length: 3 }],
	...TEXTS,
]

/** Applies one to three changes, one after another. */
function times(random: Random): number {
	return 1 + randomBelow(random, 3)
}

/** Inserts, removes or repeats letters, words or parts of a text. */
export function mutateText(random: Random, text: string): string {
	let mutated = text
	for (let left = times(random); left > 0; left--) {
		const [from = 0, to = 0] = [randomBelow(random, mutated.length + 1), randomBelow(random, mutated.length + 1)].sort(
			(one, other) => one - other,
		)
		const part = mutated.slice(from, to)
		const put = pick(random, [
			'',
			part + part,
			pick(random, TEXTS),
			pick(random, TEXTS) + part,
			String.fromCharCode(randomBelow(random, 256)),
		])
		mutated = mutated.slice(0, from) + put + mutated.slice(random() < 0.7 ? Math.min(to, from + 8) : to)
	}
	return mutated
}

/** Changes, removes, inserts or repeats some bytes. */
export function mutateBytes(random: Random, bytes: Buffer): Buffer {
	let mutated = Buffer.from(bytes)
	for (let left = times(random); left > 0; left--) {
		const at = randomBelow(random, mutated.length + 1)
		const length = randomBelow(random, 1 + randomBelow(random, 64))
		const before = mutated.subarray(0, at)
		const put = pick(random, [
			Buffer.of(randomBelow(random, 256)),
			Buffer.alloc(0),
			mutated.subarray(at, at + length),
			Buffer.from(pick(random, TEXTS)),
			Buffer.of((mutated[at] ?? 0) ^ (1 << randomBelow(random, 8))),
		])
		mutated = Buffer.concat([before, put, mutated.subarray(at + (random() < 0.5 ? 1 : length))])
	}
	return mutated
}

/** Replaces, omits, renames, repeats or nests a part of a JSON value. */
export function mutateJson(random: Random, value: unknown): unknown {
	if (typeof value !== 'object' || value === null || random() < 0.05) return otherValue(random, value)
	if (Array.isArray(value)) return mutateArray(random, value)
	const entries = Object.entries(value)
	const at = randomBelow(random, entries.length + 1)
	const [name, inner] = entries[at] ?? [pick(random, TEXTS), otherValue(random, null)]
	const others = entries.filter((_, index) => index !== at)
	const change = pick<() => readonly (readonly [string, unknown])[]>(random, [
		() => [],
		() => [[mutateText(random, name), inner]],
		() => [
			[name, inner],
			[pick(random, TEXTS), otherValue(random, inner)],
		],
		...Array.from({ length: 3 }, () => () => [[name, mutateJson(random, inner)] as const]),
	])
	return Object.fromEntries([...others, ...change()])
}

function mutateArray(random: Random, items: readonly unknown[]): unknown[] {
	const at = randomBelow(random, items.length)
	const item = items[at]
	const change = pick<() => readonly unknown[]>(random, [
		() => [],
		() => [item, item],
		() => Array.from({ length: 300 }, () => item),
		...Array.from({ length: 3 }, () => () => [mutateJson(random, item)]),
	])
	return [...items.slice(0, at), ...change(), ...items.slice(at + 1)]
}

function otherValue(random: Random, value: unknown): unknown {
	if (typeof value === 'string' && random() < 0.5) return mutateText(random, value)
	if (random() < 0.1) return Array.from({ length: 40 }).reduce((inner) => ({ a: inner }), value)
	return pick(random, VALUES)
}
