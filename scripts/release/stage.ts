import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { BUNDLED, bundleClient, LICENCES } from './bundle-client.js'
import type { Manifest, Package } from './packages.js'

/**
 * Copies the `files` of a package as they are published, from the package or from the repository.
 *
 * @param root - the repository
 * @param into - the folder to create or replace
 * @param withTypes - false leaves out the types of the client
 */
export async function stage(root: string, name: Package, into: string, withTypes = true): Promise<Manifest> {
	const source = path.join(root, name)
	const manifest = JSON.parse(readFileSync(path.join(source, 'package.json'), 'utf8')) as Manifest
	rmSync(into, { recursive: true, force: true })
	mkdirSync(into, { recursive: true })
	for (const file of [...manifest.files, 'README.md', 'LICENSE']) {
		const from = [source, root].map((folder) => path.join(folder, file)).find(existsSync)
		if (from === undefined)
			throw new Error(`${manifest.name} lists the file ${file}, which is neither in ${name} nor in the repository.`)
		cpSync(from, path.join(into, file), { recursive: true, filter: (each) => !BUILD_ONLY.test(each) })
	}
	const published = name === 'client' ? removeBundled(manifest) : manifest
	if (name === 'client') await bundleClient(root, manifest, into, withTypes)
	writeFileSync(path.join(into, 'package.json'), `${JSON.stringify(published, null, 2)}\n`)
	return published
}

/** Files that only the build uses: the compiler's build info, and the code that makes the descriptions. */
const BUILD_ONLY = /[.]tsbuildinfo$|[\\/]server[\\/]dist[\\/]descriptions[\\/].*[.](?:js|map|ts)$/

/** Removes bundled packages from the dependencies. */
function removeBundled(manifest: Manifest): Manifest {
	const dependencies = Object.entries(manifest.dependencies).filter(([name]) => !BUNDLED.includes(name))
	return { ...manifest, files: [...manifest.files, LICENCES], dependencies: Object.fromEntries(dependencies) }
}
