import { readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, it, vi } from 'vitest'
import { CliProcess, createTemporaryDirectory, runPlanstream, startServe } from '../../support/cli-process.js'

/** Each test starts several processes. */
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const EVENT = `${JSON.stringify({ event_type: 'plan_completed', data: {} })}\n`

it('creates keys for a server, passes them in the environment, and revokes them', async () => {
	using directory = createTemporaryDirectory()
	const file = path.join(directory.path, 'keys.json')
	const made = await runPlanstream([
		'keys',
		'create',
		'--tenant',
		'acme',
		'--scopes',
		'plans:read,events:publish',
		'--id',
		'ci',
		'--file',
		file,
	])
	expect(made).toMatchObject({ code: 0, stderr: expect.stringContaining('shown only once') as string })
	const key = made.stdout.trim()
	expect(readFileSync(file, 'utf8')).not.toContain(key)
	await using server = await startServe(directory.path, { HOST: '0.0.0.0', PLANSTREAM_API_KEYS: file })
	const env = { PLANSTREAM_URL: server.url.replace('0.0.0.0', '127.0.0.1') }

	const refused = await runPlanstream(['watch', 'p'], env)
	expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('PLANSTREAM_TOKEN')])
	const published = await new CliProcess(['publish', 'p'], { ...env, PLANSTREAM_TOKEN: key }).input(EVENT).end()
	expect(published.code).toBe(0)
	const watched = await runPlanstream(['watch', 'p', '--json'], { ...env, PLANSTREAM_TOKEN: key })
	expect(watched).toMatchObject({ code: 0, json: [{ event_type: 'plan_completed', actor: { type: 'api_key', id: 'ci' } }] })

	expect((await runPlanstream(['keys', 'revoke', 'ci'], { PLANSTREAM_API_KEYS: file })).code).toBe(0)
	await expect.poll(() => statusOf(`${env.PLANSTREAM_URL}/`, key), { timeout: 10_000 }).toBe(401)
	server.child.kill('SIGTERM')
	const { stdout, stderr } = await server.end()
	expect(`${stdout}${stderr}${published.stderr}${watched.stderr}${refused.stderr}`).not.toContain(key)
})

it('names the missing scope of a key', async () => {
	using directory = createTemporaryDirectory()
	const file = path.join(directory.path, 'keys.json')
	const create = async (...args: string[]) => {
		const { code, stderr } = await runPlanstream(['keys', 'create', '--tenant', 'acme', ...args])
		return [code, stderr]
	}
	expect(await create('--scopes', 'plans:read')).toEqual([2, expect.stringContaining('--file')])
	expect(await create('--file', file)).toEqual([2, expect.stringContaining('--scopes')])
	expect(await create('--file', file, '--scopes', 'plans:read,plans:wirte')).toEqual([
		2,
		expect.stringContaining('(Did you mean plans:write?)'),
	])
})

it('does not open a server to the network when it has no keys', async () => {
	const { code, stderr } = await runPlanstream(['serve'], { HOST: '0.0.0.0', PORT: '0' })
	expect([code, stderr]).toEqual([2, expect.stringMatching(/^HOST must be .*PLANSTREAM_API_KEYS/)])
	const missing = await runPlanstream(['serve'], { HOST: '0.0.0.0', PORT: '0', PLANSTREAM_API_KEYS: '/nowhere/keys.json' })
	expect([missing.code, missing.stderr]).toEqual([1, expect.stringContaining('planstream keys create')])
})

async function statusOf(url: string, key: string): Promise<number> {
	return (await fetch(url, { headers: { authorization: `Bearer ${key}` } })).status
}
