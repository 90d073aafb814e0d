import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createKey, type NewKey, revokeKey } from '../../../server/src/auth/keys.js'
import type { RunningServer } from '../../../server/src/server.js'
import { startTestServer, type TestServerOptions } from './test-server.js'

export interface KeyedServer<Name extends string> extends RunningServer {
	/** The keys by their ids. */
	readonly keys: Readonly<Record<Name, string>>
	/** Removes a key from the file. */
	revoke(name: Name): Promise<void>
}

/** Starts a server with a key file that holds one key per grant. */
export async function startKeyedServer<Name extends string>(
	grants: Readonly<Record<Name, NewKey>>,
	options: TestServerOptions = {},
): Promise<KeyedServer<Name>> {
	const directory = await mkdtemp(path.join(tmpdir(), 'planstream-keys-'))
	const apiKeys = path.join(directory, 'keys.json')
	const keys: [string, string][] = []
	for (const [id, grant] of Object.entries<NewKey>(grants)) keys.push([id, await createKey(apiKeys, { ...grant, id })])
	const server = await startTestServer({ apiKeys, ...options })
	const dispose = server[Symbol.asyncDispose].bind(server)
	return Object.assign(server, {
		keys: Object.fromEntries(keys) as Record<Name, string>,
		revoke: (name: Name) => revokeKey(apiKeys, name),
		[Symbol.asyncDispose]: async () => {
			await dispose()
			await rm(directory, { recursive: true, force: true })
		},
	})
}

/** Returns the header that carries a key. */
export function bearer(key: string): { readonly authorization: string } {
	return { authorization: `Bearer ${key}` }
}
