import { existsSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { DOCUMENTS, fillDocument, makeTables } from '../../scripts/docs-tables.js'
import { parseSettings } from '../../server/src/settings.js'
import { blocksIn, listDocuments, readDocument, root } from './documents.js'

const LINK = /\[[^\]]*\]\(([^)\s]+)\)/g

describe('the documentation', () => {
	it.each(listDocuments())('links only to existing files in %s', (document) => {
		const folder = path.dirname(root + document)
		const targets = [...readDocument(document).matchAll(LINK)].map(([, target = '']) => target.split('#', 1)[0] ?? '')
		const files = targets.filter((target) => target !== '' && !/^https?:/.test(target))
		expect(files.filter((file) => !existsSync(path.join(folder, file)))).toEqual([])
	})

	it.each(DOCUMENTS)('has the generated tables in %s', (document) => {
		const text = readDocument(document)
		expect(fillDocument(text, makeTables(root))).toBe(text)
	})

	it('has no code block in a language that no test covers', () => {
		const known = ['js', 'jsx', 'ts', 'tsx', 'html', 'json', 'sh', 'text', 'nginx'].flatMap((language) => blocksIn(language))
		const places = new Set(known.map(({ place }) => place))
		const fences = listDocuments().flatMap((document) => [...readDocument(document).matchAll(/^```\w+$/gm)])
		expect(places.size).toBe(fences.length)
	})

	it('names only npm scripts that exist', () => {
		const { scripts } = JSON.parse(readDocument('package.json')) as { scripts: Record<string, string> }
		const text = listDocuments().map(readDocument).join('\n')
		const named = [...text.matchAll(/(?:`|^|&& )npm (?:run )?([a-z:]+)/gm)].map(([, name = '']) => name)
		const missing = named.filter((name) => !['ci', 'install'].includes(name) && scripts[name] === undefined)
		expect(missing).toEqual([])
	})
})

describe('README.md', () => {
	const readme = readDocument('README.md')

	it('fits on a page and a half, with code on the first screen', () => {
		expect(readme.split('\n').length - 1).toBeLessThan(90)
		expect(readme.split('\n').indexOf('```js')).toBeLessThan(20)
	})
})

describe('docs/operating.md', () => {
	it('names every setting with its default', () => {
		const rows = [...readDocument('docs/operating.md').matchAll(/^\| `([A-Z_]+)` \| `([^`]*)` \|/gm)].map(([, name, value]) => [
			name,
			value,
		])
		const settings = Object.entries(parseSettings({})).map(([name, value]) => [
			name,
			String(Number.isNaN(Number(value)) ? value : Number(value)),
		])
		expect(rows).toEqual(settings)
	})
})
