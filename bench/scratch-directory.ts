import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'

const inUse = new Set<string>()
process.on('exit', () => {
	for (const directory of inUse) rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
})

/** Creates a directory for the files of a program under test, which is removed when it is disposed or this process exits. */
export async function createScratchDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
	const directory = await mkdtemp(path.join(tmpdir(), 'planstream-bench-'))
	inUse.add(directory)
	return {
		path: directory,
		[Symbol.asyncDispose]: async () => {
			await rm(directory, { recursive: true, force: true })
			inUse.delete(directory)
		},
	}
}
