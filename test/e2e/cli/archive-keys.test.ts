import { existsSync } from 'node:fs'
import path from 'node:path'
import { expect, it, vi } from 'vitest'
import { createKey } from '../../../server/src/auth/keys.js'
import { CliProcess, createTemporaryDirectory, runPlanstream, startServe } from '../../support/cli-process.js'
import { exportPlan, importPlan } from '../../support/plans/archives.js'
import { startPlanstream } from '../../support/plans/test-planstream.js'

/** Each test starts several processes. */
vi.setConfig({ testTimeout: 60_000 })

const NOT_TRUSTED = 'not signed by a trusted key'

/** Makes a data directory with one finished plan of somebody else. */
async function makeDirectory(directory: string): Promise<void> {
	await using from = await startPlanstream()
	await from.run({ plan_id: 'p', query: 'q', steps: [{ step_id: 'a', action: 'act', agent_type: 'scripted' }] })
	const archive = await exportPlan(from.hub)
	await using to = await startPlanstream()
	expect((await importPlan(to.hub, archive)).signed).toBe(true)
	const imported = await new CliProcess(['import', '--data', directory]).input(archive).end()
	expect(imported).toMatchObject({ code: 0, stdout: expect.stringContaining(NOT_TRUSTED) })
}

it('an export is signed with the key that the terminal prints, and an import says whether one that is trusted has signed it', async () => {
	using directory = createTemporaryDirectory()
	const data = ['--data', directory.path]
	await makeDirectory(directory.path)
	const { stdout: archive } = await runPlanstream(['export', ...data])
	const printed = (await runPlanstream(['keys', 'archive', ...data])).stdout.trim()
	expect(archive).toContain(`"key":"${printed}","tenant":"default"`)
	await runPlanstream(['delete', 'p', ...data])
	const again = await new CliProcess(['import', ...data]).input(archive).end()
	expect(again.stdout).toContain('p  ')
	expect(again.stdout).not.toContain(NOT_TRUSTED)

	using elsewhere = createTemporaryDirectory()
	const PLANSTREAM_API_KEYS = path.join(elsewhere.path, 'keys.json')
	const PLANSTREAM_TOKEN = await createKey(PLANSTREAM_API_KEYS, { tenant: 'default', scopes: ['admin', 'plans:read'] })
	const importInto = async (settings: Readonly<Record<string, string>>) => {
		await using server = await startServe(elsewhere.path, { PLANSTREAM_API_KEYS, ...settings })
		return await new CliProcess(['import', '--url', server.url], { PLANSTREAM_TOKEN }).input(archive).end()
	}
	expect(await importInto({})).toMatchObject({ code: 2, stderr: expect.stringContaining('is not trusted') })
	const trusted = await importInto({ PLANSTREAM_ARCHIVE_TRUST: `${printed}, ed25519:${'A'.repeat(43)}` })
	expect(trusted).toMatchObject({ code: 0, stderr: '' })
	expect(trusted.stdout).not.toContain(NOT_TRUSTED)
})

it('the terminal prints no key of a directory that is not there, and a server refuses a key of another form', async () => {
	using directory = createTemporaryDirectory()
	const missing = path.join(directory.path, 'missing')
	const refused = await runPlanstream(['keys', 'archive', '--data', missing])
	expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('is not a directory') })
	expect(existsSync(missing)).toBe(false)
	const PLANSTREAM_ARCHIVE_TRUST = 'ed25519:short'
	const ended = await runPlanstream(['serve'], { PLANSTREAM_ARCHIVE_TRUST, PLANSTREAM_DATA: directory.path, PORT: '0' })
	expect(ended).toMatchObject({ code: 2, stderr: expect.stringContaining('PLANSTREAM_ARCHIVE_TRUST must be') })
})
