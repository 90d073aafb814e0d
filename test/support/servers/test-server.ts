import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { RunningServer, ServerOptions } from '../../../server/src/server.js'
import { startTestPlanstream } from '../../../server/src/testing/test-planstream.js'

export interface TestServerOptions extends Partial<Omit<ServerOptions, 'store'>> {
	/**
	 * @defaultValue `'memory'`; `'sqlite'` stores plans in a temporary directory, which is removed when the server is disposed
	 */
	readonly store?: 'memory' | 'sqlite'
}

/**
 * Starts a server on a free port with the scripted agent; it logs nothing by default. `await using` stops it and removes its
 * files.
 */
export async function startTestServer({ store = 'memory', ...options }: TestServerOptions = {}): Promise<RunningServer> {
	const directory = await mkdtemp(path.join(tmpdir(), 'planstream-test-'))
	const location = store === 'memory' ? { kind: store } : { kind: store, directory: path.join(directory, 'data') }
	const server = await startTestPlanstream({ corpus: directory, ...options, store: location })
	return Object.assign(server, {
		[Symbol.asyncDispose]: async () => {
			await server.close()
			await rm(directory, { recursive: true, force: true })
		},
	})
}
