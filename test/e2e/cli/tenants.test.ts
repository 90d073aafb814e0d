import path from 'node:path'
import { expect, it, vi } from 'vitest'
import { createKey } from '../../../server/src/auth/keys.js'
import { CliProcess, createTemporaryDirectory, runPlanstream, startServe } from '../../support/cli-process.js'

/** Each test starts several processes. */
vi.setConfig({ testTimeout: 60_000 })

it('the plans of a tenant are read and changed apart from those of others when no server runs', async () => {
	using directory = createTemporaryDirectory()
	const PLANSTREAM_API_KEYS = path.join(directory.path, 'keys.json')
	const PLANSTREAM_TOKEN = await createKey(PLANSTREAM_API_KEYS, { tenant: 'acme', scopes: ['plans:read', 'events:publish'] })
	const server = await startServe(directory.path, { PLANSTREAM_API_KEYS })
	const near = { PLANSTREAM_URL: server.url, PLANSTREAM_TOKEN }
	const events = '{"event_type":"plan_started","data":{"query":"q","total_steps":1}}\n{"event_type":"plan_completed","data":{}}\n'
	expect(await new CliProcess(['publish', 'p'], near).input(events).end()).toMatchObject({ code: 0 })
	const keep = (words: readonly string[], env = {}) => runPlanstream([...words, '--data', directory.path], env)
	const refused = await keep(['list', '--tenant', 'acme'])
	expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining(`Use --url ${server.url}`) })
	server.child.kill('SIGTERM')
	await server.end()

	expect((await keep(['list', '--json'])).json).toEqual([])
	expect((await keep(['show', 'p'])).stderr).toContain('There is no plan p.')
	const acme = (...words: string[]) => keep([...words, '--tenant', 'acme'])
	expect((await acme('list', '--json')).json).toMatchObject([{ plan_id: 'p', status: 'completed' }])
	expect(await acme('verify', '--json')).toMatchObject({ code: 0, json: [{ plan_id: 'p', ok: true, events: 2 }] })
	const { stdout: archive } = await acme('export')
	expect(await acme('delete', 'p')).toMatchObject({ code: 0 })
	const other = new CliProcess(['import', '--json', '--data', directory.path, '--tenant', 'other']).input(archive)
	expect(await other.end()).toMatchObject({ code: 0, json: [{ plan_id: 'p', events: 2 }] })
	expect((await acme('list', '--json')).json).toEqual([])
	expect((await keep(['list', '--json', '--tenant', 'other'])).json).toMatchObject([{ plan_id: 'p' }])
	expect(await keep(['list', '--tenant', 'a/b'])).toMatchObject({
		code: 2,
		stderr: 'planstream: Invalid tenant "a/b". Use 1 to 64 letters, digits, "_" or "-".\n',
	})
})
