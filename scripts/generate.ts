import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { contract } from '@planstream/shared/schemas'
import { asyncApi } from './describe/asyncapi.js'
import { jsonSchemas } from './describe/json-schemas.js'
import { openApi } from './describe/openapi.js'
import { referencePage } from './describe/reference.js'
import { catalogues } from './generate/catalogue.js'
import { emitEventHelpers } from './generate/emit-event-helpers.js'
import { emitTypes, type SourceFile } from './generate/emit-file.js'
import { emitProcedures } from './generate/emit-procedures.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const SDK = 'client/src/generated'
const DESCRIPTIONS = 'server/descriptions'
const BIOME = 'node_modules/@biomejs/biome/bin/biome'

const { version } = JSON.parse(readFileSync(`${root}server/package.json`, 'utf8')) as { version: string }
const types = emitTypes(catalogues).map(formatted)
const files = new Map([
	...[...types, formatted(emitProcedures(contract, catalogues)), formatted(emitEventHelpers())].map(
		({ name, text }): [string, string] => [`${SDK}/${name}`, text],
	),
	[`${DESCRIPTIONS}/openapi.json`, asText(openApi(contract, catalogues, version))],
	[`${DESCRIPTIONS}/asyncapi.json`, asText(asyncApi(catalogues, version))],
	[`${DESCRIPTIONS}/reference.html`, referencePage(contract, catalogues, types)],
	['shared/schemas.json', asText(jsonSchemas(catalogues))],
])
if (process.argv.includes('--check')) check(files)
else write(files)

/** The file as Biome would leave it, so that the format check passes. */
function formatted({ name, text }: SourceFile): SourceFile {
	const args = [BIOME, 'check', '--write', `--stdin-file-path=${SDK}/${name}`]
	const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, input: text, encoding: 'utf8' })
	if (status !== 0) throw new Error(`Biome refuses the generated ${name}: ${stderr}`)
	return { name, text: stdout }
}

function asText(document: unknown): string {
	return `${JSON.stringify(document, null, 2)}\n`
}

function write(generated: ReadonlyMap<string, string>): void {
	for (const [path, text] of generated) {
		mkdirSync(dirname(`${root}${path}`), { recursive: true })
		writeFileSync(`${root}${path}`, text)
	}
	console.log(`${generated.size} files written.`)
}

/** Says which committed files are not what the contract gives, and fails when there are any. */
function check(generated: ReadonlyMap<string, string>): void {
	const committed = [SDK, DESCRIPTIONS].flatMap((folder) => readdirSync(`${root}${folder}`).map((name) => `${folder}/${name}`))
	const different = [...new Set([...committed, ...generated.keys()])]
		.filter((path) => textAt(path) !== generated.get(path))
		.sort()
	if (different.length === 0) {
		console.log('SDK and descriptions are what the contract gives.')
		return
	}
	const list = different.map((path) => `  ${path}`).join('\n')
	console.error(`Not what the contract gives; run "npm run generate":\n${list}`)
	process.exitCode = 1
}

function textAt(path: string): string | undefined {
	return existsSync(`${root}${path}`) ? readFileSync(`${root}${path}`, 'utf8') : undefined
}
