import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { PACKAGES } from '../../../scripts/release/packages.js'
import { stage } from '../../../scripts/release/stage.js'

export const root = path.resolve(import.meta.dirname, '../../..')
const RELEASE = path.join(root, 'release')
const CONSUMER = path.join(root, 'test/support/packages/consumer')

/** Runs a program to its end and returns its output; throws with the output when it fails. */
export const execute = promisify(execFile)

/** Packs everything as for a release; fails when the packages are not in order. */
export async function packRelease(): Promise<void> {
	await execute(process.execPath, [path.join(root, 'dist/scripts/release.js')], { cwd: root })
}

/** Packs everything into a folder without the client's types and the checks of a release, and returns the paths of the tarballs. */
export async function packInto(folder: string): Promise<string[]> {
	const tarballs: string[] = []
	for (const name of PACKAGES) {
		const staged = path.join(folder, 'staged', name)
		await stage(root, name, staged, false)
		const { stdout } = await execute('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], { cwd: staged })
		for (const { filename } of JSON.parse(stdout) as { readonly filename: string }[]) tarballs.push(path.join(folder, filename))
	}
	return tarballs
}

/** Installs the packed client into a new project with the consumer's files, without a network. */
export async function installClient(folder: string): Promise<void> {
	mkdirSync(folder, { recursive: true })
	cpSync(CONSUMER, folder, { recursive: true })
	writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }))
	await execute('npm', ['install', '--offline', findTarball('client')], { cwd: folder })
}

/** Returns the path of a packed package. */
export function findTarball(name: 'shared' | 'client' | 'server' | 'cli'): string {
	const begin = name === 'cli' ? /^planstream-\d/ : new RegExp(`^planstream-${name}-\\d`)
	const found = readdirSync(RELEASE).find((file) => begin.test(file) && file.endsWith('.tgz'))
	if (found === undefined) throw new Error(`The package ${name} is not in ${RELEASE}. Run npm run release.`)
	return path.join(RELEASE, found)
}

/** Copies the packed `shared` into a project. */
export function addShared(folder: string): void {
	cpSync(path.join(RELEASE, 'shared'), path.join(folder, 'node_modules/@planstream/shared'), { recursive: true })
}

/** Installs all packed packages into a new project, with links to the other packages of this repository. */
export function installAll(folder: string): void {
	const modules = path.join(folder, 'node_modules')
	mkdirSync(path.join(modules, '@planstream'), { recursive: true })
	for (const name of ['shared', 'client', 'server'])
		cpSync(path.join(RELEASE, name), path.join(modules, '@planstream', name), { recursive: true })
	cpSync(path.join(RELEASE, 'cli'), path.join(modules, 'planstream'), { recursive: true })
	const installed = path.join(root, 'node_modules')
	for (const name of readdirSync(installed)) {
		if (name !== '@planstream' && name !== 'planstream' && !name.startsWith('.'))
			symlinkSync(path.join(installed, name), path.join(modules, name))
	}
}
