import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ContractError } from '@planstream/shared/schemas'
import { emitEventHelpers } from './generate/emit-event-helpers.js'
import { emitTypes, type SourceFile } from './generate/emit-file.js'
import { emitProcedures } from './generate/emit-procedures.js'
import { emitShapes } from './generate/emit-shapes.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const SDK = 'client/src/generated'
const BIOME = 'node_modules/@biomejs/biome/bin/biome'

try {
	const sources = [...emitTypes(), emitShapes(), emitProcedures(), emitEventHelpers()].map(format)
	const files = new Map(sources.map(({ name, text }) => [`${SDK}/${name}`, text]))
	if (process.argv.includes('--check')) check(files)
	else write(files)
} catch (error) {
	if (!(error instanceof ContractError)) throw error
	console.error(error.message)
	process.exitCode = 1
}

/** Formats a file with Biome, so that the format check passes. */
function format({ name, text }: SourceFile): SourceFile {
	const args = [BIOME, 'check', '--write', `--stdin-file-path=${SDK}/${name}`]
	const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, input: text, encoding: 'utf8' })
	if (status !== 0) throw new Error(`Biome cannot format the generated ${name}: ${stderr}`)
	return { name, text: stdout }
}

function write(generated: ReadonlyMap<string, string>): void {
	for (const [path, text] of generated) writeFileSync(`${root}${path}`, text)
	console.log(`${generated.size} files written.`)
}

/** Lists the committed files that differ from the contract, and fails if there are any. */
function check(generated: ReadonlyMap<string, string>): void {
	const committed = readdirSync(`${root}${SDK}`).map((name) => `${SDK}/${name}`)
	const different = [...new Set([...committed, ...generated.keys()])]
		.filter((path) => readText(path) !== generated.get(path))
		.sort()
	if (different.length === 0) {
		console.log('The SDK is up to date.')
		return
	}
	const list = different.map((path) => `  ${path}`).join('\n')
	console.error(`These files are out of date. Run "npm run generate":\n${list}`)
	process.exitCode = 1
}

function readText(path: string): string | undefined {
	return existsSync(`${root}${path}`) ? readFileSync(`${root}${path}`, 'utf8') : undefined
}
