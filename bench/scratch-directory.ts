import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'

const inUse = new Set<string>()
process.on('exit', () => {
	for (const directory of inUse) rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
})

/** A directory of its own for whatever a program under test stores, gone when it is disposed or this process exits. */
export async function scratchDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
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
