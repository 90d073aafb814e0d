import { chmodSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, it, vi } from 'vitest'
import { createTemporaryDirectory, runPlanstream, startServe } from '../../support/cli-process.js'

/** Each test starts a process. */
vi.setConfig({ testTimeout: 60_000 })

/** Paths below a folder that users other than the owner may read. */
function listOpen(folder: string): string[] {
	return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
		(name) => (statSync(path.join(folder, name)).mode & 0o077) !== 0,
	)
}

it('closes its own directory with everything in it when others may read it, and reports this', async () => {
	using directory = createTemporaryDirectory()
	mkdirSync(path.join(directory.path, 'artifacts/ab'), { recursive: true })
	writeFileSync(path.join(directory.path, 'artifacts/ab/file'), 'text')
	for (const name of ['artifacts', 'artifacts/ab', '.']) chmodSync(path.join(directory.path, name), 0o755)
	chmodSync(path.join(directory.path, 'artifacts/ab/file'), 0o644)
	await using server = await startServe(directory.path, { LOG_LEVEL: 'warn' })
	expect(statSync(directory.path).mode & 0o777).toBe(0o700)
	expect(listOpen(directory.path)).toEqual([])
	expect(server.stderr).toContain('was readable for other users')
})

it('keeps the modes of a directory when the setting says so, and makes its own files private', async () => {
	using directory = createTemporaryDirectory()
	chmodSync(directory.path, 0o755)
	await using _server = await startServe(directory.path, { PLANSTREAM_DATA_MODE: 'any' })
	expect(statSync(directory.path).mode & 0o777).toBe(0o755)
	expect(listOpen(directory.path)).toEqual([])
})

it.each(['planstream.db', 'artifacts', 'server.json'])('refuses a link in place of %s', async (name) => {
	using directory = createTemporaryDirectory()
	symlinkSync('/nowhere', path.join(directory.path, name))
	const { code, stderr } = await runPlanstream(['serve'], { PLANSTREAM_DATA: directory.path, PORT: '0' })
	expect([code, stderr]).toEqual([2, expect.stringContaining(`${name} in the data directory`)])
})

it('refuses a directory when it is shared', async () => {
	using directory = createTemporaryDirectory()
	chmodSync(directory.path, 0o1777)
	const { code, stderr } = await runPlanstream(['serve'], { PLANSTREAM_DATA: directory.path, PORT: '0' })
	expect([code, stderr]).toEqual([2, expect.stringContaining('PLANSTREAM_DATA_MODE=any')])
	expect(statSync(directory.path).mode & 0o1777).toBe(0o1777)
})
