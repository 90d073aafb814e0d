import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { BUNDLED, bundleClient, LICENCES } from './bundle-client.js'
import type { Manifest, Package } from './packages.js'

/**
 * Lays out a package as it is published: what it names under `files`, its own or the repository's.
 *
 * @param root - the repository
 * @param into - the folder to make; what was there is replaced
 */
export async function stage(root: string, name: Package, into: string): Promise<Manifest> {
	const source = path.join(root, name)
	const manifest = JSON.parse(readFileSync(path.join(source, 'package.json'), 'utf8')) as Manifest
	rmSync(into, { recursive: true, force: true })
	mkdirSync(into, { recursive: true })
	for (const file of [...manifest.files, 'README.md', 'LICENSE']) {
		const from = [source, root].map((folder) => path.join(folder, file)).find(existsSync)
		if (from === undefined)
			throw new Error(`${manifest.name} is to publish ${file}, which is neither in ${name} nor in the repository.`)
		cpSync(from, path.join(into, file), { recursive: true, filter: isPublished })
	}
	const published = name === 'client' ? withoutBundled(manifest) : manifest
	if (name === 'client') await bundleClient(root, manifest, into)
	writeFileSync(path.join(into, 'package.json'), `${JSON.stringify(published, null, 2)}\n`)
	return published
}

/** Files that only the build uses: the compiler's notes, and the code that makes the descriptions. */
const BUILD_ONLY = /[.]tsbuildinfo$|[\\/]server[\\/]dist[\\/]descriptions[\\/].*[.](?:js|map|ts)$/

function isPublished(file: string): boolean {
	return !BUILD_ONLY.test(file)
}

/** What the bundle holds need not be installed beside it. */
function withoutBundled(manifest: Manifest): Manifest {
	const dependencies = Object.entries(manifest.dependencies).filter(([name]) => !BUNDLED.includes(name))
	return { ...manifest, files: [...manifest.files, LICENCES], dependencies: Object.fromEntries(dependencies) }
}
