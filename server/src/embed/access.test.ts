import { rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { createTemporaryDirectory } from '#test/support/cli-process.js'
import { createKey, revokeKey } from '../auth/keys.js'
import type { Schedule } from '../ops/clock.js'
import { Health } from '../ops/health.js'
import { assertHost, openAccess, readAccessKeys } from './access.js'

const GRANT = { tenant: 'acme', scopes: ['plans:read' as const] }

describe('access', () => {
	it('keeps the old keys for a time when its file is broken, and follows every valid change at once', async () => {
		using directory = createTemporaryDirectory()
		const apiKeys = path.join(directory.path, 'keys.json')
		const problems: string[] = []
		const [first, second] = [
			await createKey(apiKeys, { ...GRANT, id: 'first' }),
			await createKey(apiKeys, { ...GRANT, id: 'second' }),
		]
		const keys = await readAccessKeys({ apiKeys })
		const health = new Health()
		let endGrace: () => void = () => undefined
		const schedule: Schedule = (callback) => {
			endGrace = callback
			return {
				[Symbol.dispose]: () => {
					endGrace = () => undefined
				},
			}
		}
		const onProblem = (message: string): void => void problems.push(message)
		using access = openAccess({ apiKeys }, { keys, resolveToken: () => null, health, onProblem, warn: onProblem, schedule })
		const letIn = (...tokens: string[]) =>
			tokens.filter((token) => isLetIn(() => access.authenticator.identify({ via: 'http', headers: {}, token }, null)))

		const third = await createKey(apiKeys, GRANT)
		await expect.poll(() => letIn(first, second, third), { timeout: 10_000 }).toEqual([first, second, third])
		await revokeKey(apiKeys, 'first')
		await expect.poll(() => letIn(first, second, third), { timeout: 10_000 }).toEqual([second, third])
		await writeFile(`${apiKeys}.bad`, 'nonsense')
		await rename(`${apiKeys}.bad`, apiKeys)
		await expect.poll(() => problems, { timeout: 10_000 }).toEqual([expect.stringContaining('stay valid')])
		expect(letIn(first, second, third)).toEqual([second, third])
		expect(health.components).toMatchObject([{ component: 'keys', status: 'degraded' }])

		endGrace()
		expect(letIn(first, second, third)).toEqual([])
		expect(health.components).toMatchObject([{ component: 'keys', status: 'down' }])
		await writeFile(apiKeys, JSON.stringify(keys))
		await access.reload()
		expect(letIn(first, second, third)).toEqual([first, second])
		expect(health.components).toMatchObject([{ component: 'keys', status: 'ok' }])
	})

	it.each([
		[{ apiKeys: 'keys.json', authorize: () => null }, { path: 'authorize' }],
		[{ origins: ['https://app.example.com'] }, { path: 'origins' }],
		[{ apiKeys: '/nowhere/keys.json' }, { file: '/nowhere/keys.json' }],
	])('rejects the options %j', async (options, facts) => {
		await expect(readAccessKeys(options)).rejects.toMatchObject({ code: 'bad_request', facts })
	})

	it('rejects other hosts than loopback unless keys or authorize are given', () => {
		const facts = { host: '0.0.0.0', allowed: ['127.0.0.1', 'localhost', '::1'] }
		expect(() => assertHost('0.0.0.0', {})).toThrow(expect.objectContaining({ code: 'bad_request', facts }) as Error)
		for (const options of [{ apiKeys: 'keys.json' }, { authorize: () => null }]) assertHost('0.0.0.0', options)
	})
})

function isLetIn(identify: () => unknown): boolean {
	try {
		return identify() !== null
	} catch {
		return false
	}
}
