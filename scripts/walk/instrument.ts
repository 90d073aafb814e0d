import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import ts from 'typescript'

const PACKAGES = ['shared', 'client', 'server']
const { factory } = ts

/**
 * Copies the compiled packages and this folder's scripts into an empty directory. In the copy, each function passes what
 * it gets and what it returns to `carry` of probe.ts.
 */
export function writeInstrumentedCopy(root: string, copy: string): void {
	const probe = pathToFileURL(path.join(copy, 'dist/scripts/walk/probe.js')).href
	linkDependencies(path.join(root, 'node_modules'), path.join(copy, 'node_modules'))
	for (const part of ['package.json', 'dist/scripts/walk'])
		cpSync(path.join(root, part), path.join(copy, part), { recursive: true })
	for (const name of PACKAGES) {
		const dependencies = path.join(root, name, 'node_modules')
		if (existsSync(dependencies)) linkAll(dependencies, path.join(copy, name, 'node_modules'))
		cpSync(path.join(root, name, 'package.json'), path.join(copy, name, 'package.json'))
		for (const file of readdirSync(path.join(root, name, 'dist'), { recursive: true, encoding: 'utf8' })) {
			if (!file.endsWith('.js')) continue
			const place = path.join(name, 'dist', file)
			const code = instrument(readFileSync(path.join(root, place), 'utf8'), place, probe)
			mkdirSync(path.dirname(path.join(copy, place)), { recursive: true })
			writeFileSync(path.join(copy, place), code)
		}
	}
}

/** Links the dependencies; the workspaces lead to the copy. */
function linkDependencies(from: string, to: string): void {
	linkAll(from, to, '@planstream')
	mkdirSync(path.join(to, '@planstream'))
	for (const name of PACKAGES) symlinkSync(`../../${name}`, path.join(to, '@planstream', name))
}

function linkAll(from: string, to: string, except?: string): void {
	mkdirSync(to, { recursive: true })
	for (const name of readdirSync(from)) if (name !== except) symlinkSync(path.join(from, name), path.join(to, name))
}

/**
 * Rewrites a module so that `carry(file, value)` sees parameters, loop variables over values, and the values of `return`,
 * `yield` and `await`.
 */
function instrument(code: string, file: string, probe: string): string {
	const source = ts.createSourceFile(file, code, ts.ScriptTarget.Latest, true, ts.ScriptKind.JS)
	const { transformed } = ts.transform(source, [
		(context) => {
			const visit = (before: ts.Node): ts.Node => wrap(before, ts.visitEachChild(before, visit, context), file)
			return (module) => ts.visitEachChild(module, visit, context)
		},
	])
	const [changed = source] = transformed
	return `import { carry as __carry } from ${JSON.stringify(probe)}\n${ts.createPrinter().printFile(changed)}`
}

/**
 * Puts the calls of `carry` into one node.
 *
 * @param before - the node in its original tree
 * @param node - the same with changed children
 */
function wrap(before: ts.Node, node: ts.Node, file: string): ts.Node {
	if (ts.isReturnStatement(node) && node.expression) return factory.updateReturnStatement(node, carry(file, node.expression))
	if (ts.isYieldExpression(node) && node.expression && !node.asteriskToken) {
		return factory.updateYieldExpression(node, undefined, carry(file, node.expression))
	}
	if (ts.isAwaitExpression(node)) return carry(file, node)
	if (ts.isArrowFunction(node) && !ts.isBlock(node.body)) {
		const { modifiers, typeParameters, parameters, type, equalsGreaterThanToken, body } = node
		const both = factory.createComma(carryNames(file, listReceived(before)), carry(file, body))
		const wrapped = factory.createParenthesizedExpression(both)
		return factory.updateArrowFunction(node, modifiers, typeParameters, parameters, type, equalsGreaterThanToken, wrapped)
	}
	const names = ts.isBlock(node) ? listReceived(before.parent) : []
	if (!ts.isBlock(node) || names.length === 0) return node
	return factory.updateBlock(node, [factory.createExpressionStatement(carryNames(file, names)), ...node.statements])
}

function carry(file: string, value: ts.Expression): ts.Expression {
	return factory.createCallExpression(factory.createIdentifier('__carry'), undefined, [factory.createStringLiteral(file), value])
}

function carryNames(file: string, names: readonly string[]): ts.Expression {
	return carry(file, factory.createArrayLiteralExpression(names.map((name) => factory.createIdentifier(name))))
}

/** Lists the names of a function's parameters, or of the variables of a loop over values. */
function listReceived(node: ts.Node): string[] {
	if (ts.isFunctionLike(node)) return node.parameters.flatMap(({ name }) => listNames(name))
	if (!ts.isForOfStatement(node) || !ts.isVariableDeclarationList(node.initializer)) return []
	return node.initializer.declarations.flatMap(({ name }) => listNames(name))
}

function listNames(name: ts.BindingName): string[] {
	if (ts.isIdentifier(name)) return [name.text]
	return name.elements.flatMap((element) => (ts.isBindingElement(element) ? listNames(element.name) : []))
}
