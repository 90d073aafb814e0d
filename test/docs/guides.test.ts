import { expect, it } from 'vitest'
import { DocsSandbox, hasCurl } from './docs-sandbox.js'
import { blocksIn } from './documents.js'

const RUNNING_MS = 30_000
const programs = (path: string) => blocksIn('ts', [path]).map(({ text }) => text)
const lines = (path: string) => blocksIn('sh', [path]).map(({ text }) => text)

const [server, client] = programs('docs/getting-started.md')

it.skipIf(!hasCurl)('getting started gets there', { timeout: RUNNING_MS }, async () => {
	await using workbench = await DocsSandbox.serve(server)
	expect(await workbench.outputOf(client)).toBe("{ ada: { text: 'Hello, Ada!' }, alan: { text: 'Hello, Alan!' } }\n")
	const [watch] = lines('docs/getting-started.md')
	expect(await workbench.shell(watch)).toContain('"event_type":"plan_completed"')
})

it.skipIf(!hasCurl)('events are published from elsewhere as the page says', { timeout: RUNNING_MS }, async () => {
	await using workbench = await DocsSandbox.serve(server)
	const [publish] = lines('docs/publishing.md')
	const duplicates = async () =>
		(JSON.parse(await workbench.shell(publish)) as { results: { duplicate: boolean }[] }).results.map(
			({ duplicate }) => duplicate,
		)
	expect(await duplicates()).toEqual([false, false])
	expect(await duplicates()).toEqual([true, true])
	const [publisher] = programs('docs/publishing.md')
	await workbench.outputOf(publisher)
	const state = await fetch(`${workbench.url}/api/v1/plans/nightly_import_2`)
	expect(await state.json()).toMatchObject({ status: 'completed', owner: 'external', result: { rows: 4000 } })
})
