import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { PACKAGES, type Package } from '../../../scripts/release/packages.js'
import { stage } from '../../../scripts/release/stage.js'

export const root = path.resolve(import.meta.dirname, '../../..')
const RELEASE = path.join(root, 'release')
const CONSUMER = path.join(root, 'test/support/packages/consumer')
const HOST = path.join(root, 'test/support/packages/host')

/** Runs a program to its end and returns its output; throws with the output when it fails. */
export const execute = promisify(execFile)

/**
 * Packs everything as for a release, unless nothing was built since it was packed; fails when the packages are not in order.
 */
export async function packRelease(): Promise<void> {
	const sources = ['dist/scripts', ...PACKAGES.flatMap((name) => [`${name}/dist`, `${name}/package.json`, `${name}/README.md`])]
	const built = Math.max(...sources.map((name) => findNewest(path.join(root, name))))
	if (built < findNewest(path.join(RELEASE, 'sbom.json'))) return
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

/** Returns when the newest file of a folder, or the file itself, was written; 0 when it is missing. */
function findNewest(place: string): number {
	const found = statSync(place, { throwIfNoEntry: false })
	if (found?.isDirectory() !== true) return found?.mtimeMs ?? 0
	return Math.max(0, ...readdirSync(place).map((name) => findNewest(path.join(place, name))))
}

/** Installs the packed client into a new project with the consumer's files, without a network. */
export async function installClient(folder: string): Promise<void> {
	mkdirSync(folder, { recursive: true })
	cpSync(CONSUMER, folder, { recursive: true })
	writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }))
	await execute('npm', ['install', '--offline', findTarball('client')], { cwd: folder })
}

/** Returns the path of a packed package. */
export function findTarball(name: Package): string {
	const begin = name === 'cli' ? /^planstream-\d/ : new RegExp(`^planstream-${name}-\\d`)
	const found = readdirSync(RELEASE).find((file) => begin.test(file) && file.endsWith('.tgz'))
	if (found === undefined) throw new Error(`The package ${name} is not in ${RELEASE}. Run npm run release.`)
	return path.join(RELEASE, found)
}

/** The specifiers that install packed packages in place of their names in the registry. */
export function listTarballs(...names: Package[]): string[] {
	return names.map(findTarball)
}

/**
 * Installs the packed server and client with others of the registry into a new project, which gets the files of the host.
 *
 * @param others - names with versions, such as `hono@4.10.0`
 */
export async function installHost(folder: string, others: readonly string[]): Promise<void> {
	createHost(folder)
	await install(folder, [...listTarballs('shared', 'client', 'server'), ...others])
}

/** Creates a project with the files of the host and no packages. */
export function createHost(folder: string, manifest: object = {}): void {
	cpSync(HOST, folder, { recursive: true })
	writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ name: 'host', private: true, type: 'module', ...manifest }))
}

/** Installs packages by npm with the registry that npm is configured with, from its cache where it can. */
export async function install(folder: string, packages: readonly string[], ...options: string[]): Promise<void> {
	mkdirSync(folder, { recursive: true })
	const manifest = path.join(folder, 'package.json')
	if (!existsSync(manifest)) writeFileSync(manifest, JSON.stringify({ private: true }))
	const args = ['install', '--prefer-offline', '--no-audit', '--no-fund', ...options, ...packages]
	await execute('npm', args, { cwd: folder })
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
