import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { findFaults } from './release/inspect.js'
import { type Manifest, PACKAGES } from './release/packages.js'
import { stage } from './release/stage.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const out = path.join(root, 'release')

for (const name of PACKAGES) {
	const folder = path.join(out, name)
	const manifest = await stage(root, name, folder)
	const tarball = pack(folder)
	report(manifest, tarball, await findFaults(tarball, folder, manifest))
}
writeFileSync(
	path.join(out, 'sbom.json'),
	npm(['sbom', '--sbom-format', 'cyclonedx', '--omit', 'dev', '--package-lock-only'], root),
)
console.log(`The packages and their bill of materials (sbom.json) are in ${path.relative(process.cwd(), out)}.`)

/** Packs a folder and returns the path of the tarball. */
function pack(folder: string): string {
	const [packed] = JSON.parse(npm(['pack', '--json', '--ignore-scripts', '--pack-destination', out], folder)) as [
		{ filename: string },
	]
	return path.join(out, packed.filename)
}

function report({ name, version }: Manifest, tarball: string, faults: readonly string[]): void {
	console.log(`${name}@${version}: ${path.basename(tarball)}${faults.map((fault) => `\n  ${fault}`).join('')}`)
	if (faults.length > 0) process.exitCode = 1
}

function npm(args: readonly string[], cwd: string): string {
	return execFileSync('npm', args, { cwd, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, stdio: ['ignore', 'pipe', 'inherit'] })
}
