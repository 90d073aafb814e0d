import { rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { expect, it } from 'vitest'
import { temporaryDirectory } from '../../../test/support/cli-process.js'
import { createKey, revokeKey } from '../auth/key-file.js'
import { openEntrance, readEntranceKeys } from './entrance.js'

const GRANT = { tenant: 'acme', scopes: ['plans:read' as const] }

it('follows its file: new keys get in, revoked ones do not, and a file that cannot be read changes nothing and is told', async () => {
	using directory = temporaryDirectory()
	const apiKeys = path.join(directory.path, 'keys.json')
	const problems: string[] = []
	const [first, second] = [
		await createKey(apiKeys, { ...GRANT, id: 'first' }),
		await createKey(apiKeys, { ...GRANT, id: 'second' }),
	]
	const keys = await readEntranceKeys({ host: '0.0.0.0', apiKeys })
	using entrance = openEntrance({ apiKeys }, { keys, holder: () => null }, (sentence) => void problems.push(sentence))
	const letIn = (...tokens: string[]) => tokens.filter((token) => isLetIn(() => entrance.authority.identify(token)))

	const third = await createKey(apiKeys, GRANT)
	await expect.poll(() => letIn(first, second, third), { timeout: 10_000 }).toEqual([first, second, third])
	await revokeKey(apiKeys, 'first')
	await expect.poll(() => letIn(first, second, third), { timeout: 10_000 }).toEqual([second, third])
	await writeFile(`${apiKeys}.bad`, 'nonsense')
	await rename(`${apiKeys}.bad`, apiKeys)
	await expect.poll(() => problems, { timeout: 10_000 }).toEqual([expect.stringContaining('as they were')])
	expect(letIn(first, second, third)).toEqual([second, third])
})

it.each([
	[{ host: '0.0.0.0' }, { host: '0.0.0.0', allowed: ['127.0.0.1', 'localhost', '::1'] }],
	[{ host: 'localhost', origins: ['https://app.example.com'] }, { path: 'origins' }],
	[{ host: 'localhost', apiKeys: '/nowhere/keys.json' }, { file: '/nowhere/keys.json' }],
])('is refused with %j', async (options, facts) => {
	await expect(readEntranceKeys(options)).rejects.toMatchObject({ code: 'bad_request', facts })
})

function isLetIn(identify: () => unknown): boolean {
	try {
		return identify() !== null
	} catch {
		return false
	}
}
