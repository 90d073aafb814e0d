import ts from 'typescript'
import { countLines, type Source } from './sources.js'

/** Printed beside the number, because each counter of functions counts something else. */
export const FUNCTION_DEFINITION =
	'function declarations, methods, constructors, accessors, and functions assigned to a variable, property or field'

/** Above this, a file should have a reason for being one. */
export const LONG_FILE_LINES = 500

/** The middle and the upper end of numbers. */
export interface Spread {
	readonly median: number
	readonly p90: number
	readonly max: number
}

/** How the sources are cut into files, functions and interfaces. */
export interface Shape {
	readonly files: number
	readonly lines: number
	readonly fileLines: Spread
	readonly longFiles: readonly string[]
	readonly functions: number
	readonly functionLines: Spread
	readonly interfaces: number
}

/** Measures sources; there must be at least one. */
export function measureShape(sources: readonly Source[]): Shape {
	const sizes = sources.map(({ text }) => countLines(text))
	const functions = findNodes(sources, isNamedFunction)
	return {
		files: sources.length,
		lines: sizes.reduce((sum, size) => sum + size, 0),
		fileLines: measureSpread(sizes),
		longFiles: sources.filter(({ text }) => countLines(text) > LONG_FILE_LINES).map(({ path }) => path),
		functions: functions.length,
		functionLines: measureSpread(functions.map((node) => node.getText().split('\n').length)),
		interfaces: findNodes(sources, ts.isInterfaceDeclaration).length,
	}
}

function measureSpread(numbers: readonly number[]): Spread {
	const sorted = numbers.toSorted((a, b) => a - b)
	const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
	return { median: at(0.5), p90: at(0.9), max: at(1) }
}

/** Finds the nodes of all sources that pass a test. */
function findNodes(sources: readonly Source[], test: (node: ts.Node) => boolean): ts.Node[] {
	const found: ts.Node[] = []
	const visit = (node: ts.Node): void => {
		if (test(node)) found.push(node)
		node.forEachChild(visit)
	}
	for (const { tree } of sources) visit(tree)
	return found
}

function isNamedFunction(node: ts.Node): boolean {
	if (ts.isArrowFunction(node) || ts.isFunctionExpression(node)) {
		const { parent } = node
		return ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent) || ts.isPropertyDeclaration(parent)
	}
	return ts.isFunctionLike(node) && 'body' in node && node.body !== undefined
}
