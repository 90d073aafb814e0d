import { chmod, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { expect, it, vi } from 'vitest'
import { createKey, readKeys } from '../../../server/src/auth/keys.js'
import { createTemporaryDirectory, startServe } from '../../support/cli-process.js'
import { sendRequest } from '../../support/http-request.js'
import { bearer } from '../../support/servers/keyed-server.js'
import { startTestServer } from '../../support/servers/test-server.js'

/** Each test starts a process, or waits for the watch on a file. */
vi.setConfig({ testTimeout: 60_000 })
const WAIT = { timeout: 20_000 }
const GRANT = { tenant: 'acme', scopes: ['plans:read', 'admin'] }

it('keeps the old keys when their file is open to others, broken or gone, and reports this', async () => {
	using directory = createTemporaryDirectory()
	const apiKeys = path.join(directory.path, 'keys.json')
	const headers = bearer(await createKey(apiKeys, GRANT))
	const keys = JSON.stringify(await readKeys(apiKeys))
	await using server = await startTestServer({ apiKeys })
	const status = async (): Promise<string | undefined> => {
		const { text } = await sendRequest(server, '/metrics', { headers })
		return /component="keys",status="(\w+)"} 1/.exec(text)?.[1]
	}
	const replace = async (text: string): Promise<void> => {
		await writeFile(`${apiKeys}.new`, text, { mode: 0o600 })
		await rename(`${apiKeys}.new`, apiKeys)
	}
	expect(await status()).toBe('ok')
	for (const spoil of [() => chmod(apiKeys, 0o666), () => chmod(apiKeys, 0o620), () => replace('{broken'), () => rm(apiKeys)]) {
		await spoil()
		await expect.poll(status, WAIT).toBe('degraded')
		await replace(keys)
		await expect.poll(status, WAIT).toBe('ok')
	}
})

it('refuses to start with a file that others may write', async () => {
	using directory = createTemporaryDirectory()
	const apiKeys = path.join(directory.path, 'keys.json')
	await createKey(apiKeys, GRANT)
	await chmod(apiKeys, 0o606)
	await expect(startTestServer({ apiKeys })).rejects.toMatchObject({
		code: 'bad_request',
		message: expect.stringMatching(/go-w/),
	})
})

it('reads keys and limits again on SIGHUP, and keeps the old ones when the new ones are invalid', async () => {
	using directory = createTemporaryDirectory()
	const apiKeys = path.join(directory.path, 'keys.json')
	const key = await createKey(apiKeys, GRANT)
	await using server = await startServe(path.join(directory.path, 'data'), { PLANSTREAM_API_KEYS: apiKeys })
	const headers = bearer(key)
	await writeFile(apiKeys, 'nonsense')
	server.child.kill('SIGHUP')
	await server.until(({ stderr }) => stderr.includes('keys stay'))
	expect((await sendRequest(server, '/', { headers })).status).toBe(200)
	await writeFile(apiKeys, '[]')
	server.child.kill('SIGHUP')
	await expect.poll(async () => (await sendRequest(server, '/', { headers })).status, WAIT).toBe(401)
	expect(server.child.exitCode).toBeNull()
})
