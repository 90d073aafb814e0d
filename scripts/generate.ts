import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { contract } from '@planstream/shared/schemas'
import { catalogues } from './generate/catalogue.js'
import { emitEventHelpers } from './generate/emit-event-helpers.js'
import { emitTypes, type SourceFile } from './generate/emit-file.js'
import { emitProcedures } from './generate/emit-procedures.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const FOLDER = 'client/src/generated'
const BIOME = 'node_modules/@biomejs/biome/bin/biome'

const files = [...emitTypes(catalogues), emitProcedures(contract, catalogues), emitEventHelpers()].map(formatted)
if (process.argv.includes('--check')) check(files)
else write(files)

/** The file as Biome would leave it, so that the format check passes. */
function formatted({ name, text }: SourceFile): SourceFile {
	const args = [BIOME, 'check', '--write', `--stdin-file-path=${FOLDER}/${name}`]
	const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, input: text, encoding: 'utf8' })
	if (status !== 0) throw new Error(`Biome refuses the generated ${name}: ${stderr}`)
	return { name, text: stdout }
}

function write(generated: readonly SourceFile[]): void {
	mkdirSync(`${root}${FOLDER}`, { recursive: true })
	for (const { name, text } of generated) writeFileSync(`${root}${FOLDER}/${name}`, text)
	console.log(`${generated.length} files written to ${FOLDER}.`)
}

/** Says which committed files are not what the contract gives, and fails when there are any. */
function check(generated: readonly SourceFile[]): void {
	const committed = new Map(
		readdirSync(`${root}${FOLDER}`).map((name) => [name, readFileSync(`${root}${FOLDER}/${name}`, 'utf8')]),
	)
	const wanted = new Map(generated.map(({ name, text }) => [name, text]))
	const names = new Set([...committed.keys(), ...wanted.keys()])
	const different = [...names].filter((name) => committed.get(name) !== wanted.get(name)).sort()
	if (different.length === 0) {
		console.log(`${FOLDER} is what the contract gives.`)
		return
	}
	console.error(
		`Not what the contract gives; run "npm run generate":\n${different.map((name) => `  ${FOLDER}/${name}`).join('\n')}`,
	)
	process.exitCode = 1
}
