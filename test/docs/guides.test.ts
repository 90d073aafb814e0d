import { describe, expect, it } from 'vitest'
import { DocsSandbox, hasCurl } from './docs-sandbox.js'
import { blocksIn } from './documents.js'

const RUNNING_MS = 30_000
const programs = (path: string) => blocksIn('ts', [path]).map(({ text }) => text)
const lines = (path: string) => blocksIn('sh', [path]).map(({ text }) => text)

const [server, client] = programs('docs/getting-started.md')

describe('the guides', () => {
	it.skipIf(!hasCurl)('run as written in docs/getting-started.md', { timeout: RUNNING_MS }, async () => {
		await using sandbox = await DocsSandbox.serve(server)
		expect(await sandbox.outputOf(client)).toBe("{ ada: { text: 'Hello, Ada!' }, alan: { text: 'Hello, Alan!' } }\n")
		const [watch] = lines('docs/getting-started.md')
		expect(await sandbox.shell(watch)).toContain('"event_type":"plan_completed"')
	})

	it.skipIf(!hasCurl)('run as written in docs/publishing.md', { timeout: RUNNING_MS }, async () => {
		await using sandbox = await DocsSandbox.serve(server)
		const [publish] = lines('docs/publishing.md')
		const duplicates = async () =>
			(JSON.parse(await sandbox.shell(publish)) as { results: { duplicate: boolean }[] }).results.map(
				({ duplicate }) => duplicate,
			)
		expect(await duplicates()).toEqual([false, false])
		expect(await duplicates()).toEqual([true, true])
		const [publisher] = programs('docs/publishing.md')
		await sandbox.outputOf(publisher)
		const state = await fetch(`${sandbox.url}/api/v1/plans/nightly_import_2`)
		expect(await state.json()).toMatchObject({ status: 'completed', owner: 'external', result: { rows: 4000 } })
	})
})
