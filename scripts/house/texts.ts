import ts from 'typescript'
import type { Source } from './sources.js'

/** A text that somebody reads, and where it is written. */
export interface Passage {
	/** Path and line, or the short id of a commit. */
	readonly place: string
	readonly text: string
}

/** Calls whose arguments are shown to a user: descriptions of schemas, help and notes of the command line. */
const SHOWING_CALLS = new Set([
	'describe',
	'description',
	'option',
	'requiredOption',
	'argument',
	'Option',
	'addHelpText',
	'note',
	'say',
])
/** Properties that hold a text for a user. */
const SHOWN_PROPERTIES = new Set(['summary', 'description', 'title', 'detail', 'message'])

/** Collects the doc comments of a file, also those in templates of code, each as one line of text without its stars. */
export function collectComments(source: Source): Passage[] {
	return [...source.text.matchAll(/\/\*\*(?=\s)([\s\S]*?)\*\//g)]
		.map(({ 1: body = '', index }) => ({ place: placeOf(source, index), text: flatten(body.replaceAll(/^\s*\* ?/gm, '')) }))
		.filter(({ text }) => text !== '')
}

/**
 * Collects the messages of a file: texts of at least two words that go to an error, a description or help, and anything
 * else that is written like a sentence. A placeholder of a template becomes "…".
 */
export function collectMessages(source: Source): Passage[] {
	const found: Passage[] = []
	const visit = (node: ts.Node): void => {
		const text = readLiteral(node)
		if (text !== null && isMessage(node, text, source)) found.push({ place: placeOf(source, node.getStart()), text })
		node.forEachChild(visit)
	}
	visit(source.tree)
	return found
}

function readLiteral(node: ts.Node): string | null {
	if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) return flatten(node.text)
	if (!ts.isTemplateExpression(node)) return null
	return flatten([node.head, ...node.templateSpans.map(({ literal }) => literal)].map(({ text }) => text).join('…'))
}

function isMessage(node: ts.Node, text: string, { path }: Source): boolean {
	if (ts.isLiteralTypeNode(node.parent) || ts.isImportDeclaration(node.parent)) return false
	const words = text.split(' ').filter((word) => /\p{L}{2}|^[aI]$/u.test(word)).length
	if (words < 2 || text.startsWith('--')) return false
	if (words > 2 && (path.startsWith('cli/') || /^[\p{Lu}…"].*(?:[.]|\w[?])$/su.test(text))) return true
	return isShown(node)
}

/** Tells whether a literal ends up in an error, a description or help. */
function isShown(node: ts.Node): boolean {
	const { parent } = node
	if (ts.isPropertyAssignment(parent)) return ts.isIdentifier(parent.name) && SHOWN_PROPERTIES.has(parent.name.text)
	if (ts.isNewExpression(parent)) return parent.expression !== node && /Error$|^Option$/.test(readName(parent.expression))
	if (ts.isCallExpression(parent)) return parent.expression !== node && SHOWING_CALLS.has(readName(parent.expression))
	const inside = ts.isConditionalExpression(parent) || ts.isBinaryExpression(parent) || ts.isParenthesizedExpression(parent)
	return (inside || ts.isTemplateSpan(parent) || ts.isTemplateExpression(parent)) && isShown(parent)
}

function readName(callee: ts.Expression): string {
	if (ts.isPropertyAccessExpression(callee)) return callee.name.text
	return ts.isIdentifier(callee) ? callee.text : ''
}

function flatten(text: string): string {
	return text.replaceAll(/\s+/g, ' ').trim()
}

function placeOf({ path, tree }: Source, position: number): string {
	return `${path}:${tree.getLineAndCharacterOfPosition(position).line + 1}`
}
