import ts from 'typescript'
import { countLines, type Source } from './sources.js'

/** Printed beside the number, because each counter of functions counts something else. */
export const FUNCTION_DEFINITION =
	'function declarations, methods, constructors, accessors, and functions assigned to a variable, property or field'

/** Above this, a file should have a reason for being one. */
export const LONG_FILE_LINES = 500

/** How the sources are cut into files, functions and interfaces. */
export interface Shape {
	readonly files: number
	readonly lines: number
	readonly median: number
	readonly p90: number
	readonly max: number
	readonly longFiles: readonly string[]
	readonly functions: number
	readonly interfaces: number
}

/** Measures sources; there must be at least one. */
export function measureShape(sources: readonly Source[]): Shape {
	const sizes = sources.map(({ text }) => countLines(text)).sort((a, b) => a - b)
	const at = (share: number) => sizes[Math.min(sizes.length - 1, Math.floor(sizes.length * share))] ?? 0
	return {
		files: sources.length,
		lines: sizes.reduce((sum, size) => sum + size, 0),
		median: at(0.5),
		p90: at(0.9),
		max: at(1),
		longFiles: sources.filter(({ text }) => countLines(text) > LONG_FILE_LINES).map(({ path }) => path),
		functions: countNodes(sources, isNamedFunction),
		interfaces: countNodes(sources, ts.isInterfaceDeclaration),
	}
}

/** Counts the nodes of all sources that pass a test. */
function countNodes(sources: readonly Source[], test: (node: ts.Node) => boolean): number {
	let count = 0
	const visit = (node: ts.Node): void => {
		if (test(node)) count += 1
		node.forEachChild(visit)
	}
	for (const { tree } of sources) visit(tree)
	return count
}

function isNamedFunction(node: ts.Node): boolean {
	if (ts.isArrowFunction(node) || ts.isFunctionExpression(node)) {
		const { parent } = node
		return ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent) || ts.isPropertyDeclaration(parent)
	}
	return ts.isFunctionLike(node) && 'body' in node && node.body !== undefined
}
