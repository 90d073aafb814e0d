import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { DOCUMENTS, fillDocument, makeTables } from './docs-tables.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tables = makeTables(root)
const documents = DOCUMENTS.map((name) => {
	const text = readFileSync(`${root}${name}`, 'utf8')
	return { name, text, filled: fillDocument(text, tables) }
}).filter(({ text, filled }) => text !== filled)

if (documents.length === 0) {
	console.log('The tables of the documentation are up to date.')
} else if (process.argv.includes('--check')) {
	const names = documents.map(({ name }) => `  ${name}`).join('\n')
	console.error(`The tables of these documents are out of date. Run "npm run generate":\n${names}`)
	process.exitCode = 1
} else {
	for (const { name, filled } of documents) writeFileSync(`${root}${name}`, filled)
	console.log(`${documents.map(({ name }) => name).join(', ')} written.`)
}
