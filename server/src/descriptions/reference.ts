import { ERRORS } from '@planstream/shared'
import { findTypes, groupProcedures, type ProcedureSpec } from '@planstream/shared/schemas'

/**
 * The description of the server as one page that needs nothing from elsewhere and runs no script.
 *
 * @param types - texts of the files with the SDK's types
 */
export function describeForPeople(contract: Readonly<Record<string, ProcedureSpec>>, types: readonly string[]): string {
	const declarations = types.flatMap(findDeclarations)
	const known = new Set(declarations.map(({ name }) => name))
	const groups = groupProcedures(contract)
	const sections = [...groups].map(
		([group, rows]) => `<h2 id="${group}">${group}</h2>\n${rows.map(([name, spec]) => writeProcedure(name, spec)).join('\n')}`,
	)
	return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Planstream: reference</title>
<style>${STYLE}</style>
<nav><b>Planstream</b>${[...groups.keys(), 'errors', 'types'].map((name) => ` <a href="#${name}">${name}</a>`).join('')}</nav>
<main>
<p>Every procedure is a REST route and, under the same name, a tRPC procedure below <code>/trpc</code>. The same for programs:
<a href="openapi.json">openapi.json</a>, <a href="asyncapi.json">asyncapi.json</a>.</p>
${sections.join('\n')}
<h2 id="errors">errors</h2>
${writeErrors()}
<h2 id="types">types</h2>
${declarations.map(({ name, text }) => `<pre id="${name}">${linkNames(text, known, name)}</pre>`).join('\n')}
</main>
</html>
`
}

const STYLE = `
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: #1d2430; background: #fff }
nav { position: sticky; top: 0; padding: .6rem 1.2rem; background: #f2f4f7; border-bottom: 1px solid #d8dde5 }
nav a { margin-left: .7rem }
main { max-width: 60rem; margin: 0 auto; padding: 1rem 1.2rem 4rem }
a { color: #0b5cad } h2 { margin-top: 2.5rem; border-bottom: 1px solid #d8dde5 } h3 { margin: 1.6rem 0 .2rem; font-size: 1rem }
:target { background: #fff6d6 } p { margin: .2rem 0 }
pre { padding: .8rem 1rem; background: #f7f8fa; border: 1px solid #e3e7ed; overflow-x: auto; scroll-margin-top: 3.5rem }
pre, code { font: 13px/1.5 ui-monospace, monospace; tab-size: 2 }
h2, h3 { scroll-margin-top: 3.5rem } td, th { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top }
@media (prefers-color-scheme: dark) {
	body { color: #dde3ec; background: #14181f } nav, pre { background: #1c222c; border-color: #303947 } a { color: #7fb7f5 } :target { background: #3b3620 }
}`

function writeProcedure(name: string, spec: ProcedureSpec): string {
	const { input, output, resumes } = findTypes(name, spec)
	const items = resumes ? `${link('PlanEvent')} and ${link('ControlFrame')}` : link(output)
	const answer = spec.kind === 'subscription' ? `streams ${items}` : `answers ${items}`
	return `<h3 id="${name}">${name}</h3>
<p><code>${spec.rest.method} ${escapeHtml(spec.rest.path)}</code></p>
<p>${escapeHtml(spec.summary)}</p>
<p>${input === null ? 'Takes nothing' : `Takes ${link(input)}`}, ${answer}; scope <code>${spec.scope}</code>.</p>`
}

function writeErrors(): string {
	const rows = Object.entries(ERRORS).map(
		([code, { status, retryable, title }]) =>
			`<tr><td><code>${code}</code><td>${status}<td>${retryable ? 'yes' : 'no'}<td>${escapeHtml(title)}`,
	)
	return `<table><tr><th>code<th>HTTP<th>try again<th>meaning\n${rows.join('\n')}\n</table>`
}

/** The types a file declares, each with the comment above it. */
function findDeclarations(text: string): { readonly name: string; readonly text: string }[] {
	return text
		.split(/\n\n(?=\/\*\*|export )/)
		.map((part) => ({
			name: /^export (?:interface|type) (\w+)/m.exec(part)?.[1] ?? '',
			text: part.trim().replace(/^export /m, ''),
		}))
		.filter(({ name }) => name !== '')
}

function link(name: string): string {
	return `<a href="#${name}"><code>${name}</code></a>`
}

/** The text with each name of a type leading to it. */
function linkNames(text: string, known: ReadonlySet<string>, own: string): string {
	return escapeHtml(text).replaceAll(/\b[A-Z]\w+\b/g, (word) =>
		known.has(word) && word !== own ? `<a href="#${word}">${word}</a>` : word,
	)
}

function escapeHtml(text: string): string {
	return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
