import ts from 'typescript'
import { describe, expect, it } from 'vitest'
import { measureShape } from './shape.js'
import type { Source } from './sources.js'

const TEXT = `
export interface Shown {
	readonly name: string
}
export const add = (one: number, other: number) => one + other
export function sum(numbers: readonly number[]): number {
	return numbers.reduce((total, number) => add(total, number), 0)
}
declare function external(): void
export class Box {
	get empty() {
		return true
	}
}
`

function parse(path: string, text: string): Source {
	return { path, text, tree: ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true) }
}

describe('measureShape', () => {
	it('counts functions that have a body and a name, and their lines', () => {
		expect(measureShape([parse('a.ts', TEXT), parse('b.ts', '\n'.repeat(501))])).toEqual({
			files: 2,
			lines: 515,
			fileLines: { median: 501, p90: 501, max: 501 },
			longFiles: ['b.ts'],
			functions: 3,
			functionLines: { median: 3, p90: 3, max: 3 },
			interfaces: 1,
		})
	})
})
