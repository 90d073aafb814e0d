import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { blocksIn } from './documents.js'
import { hasCurl, Workbench } from './workbench.js'

const RUNNING_MS = 30_000

describe('The README, read from its top', { timeout: RUNNING_MS }, () => {
	const [serverSource, clientSource, trpcSource, ...more] = blocksIn('ts', ['README.md']).map(({ text }) => text)
	const [watchLine, publishLine, ...others] = blocksIn('sh', ['README.md'])
		.map(({ text }) => text)
		.filter((text) => text.startsWith('curl'))
	let workbench: Workbench

	beforeAll(async () => {
		workbench = await Workbench.serve(serverSource)
	}, RUNNING_MS)
	afterAll(() => workbench[Symbol.asyncDispose]())

	it('holds three programs and two lines for curl', () => {
		expect([serverSource, clientSource, trpcSource, watchLine, publishLine]).not.toContain(undefined)
		expect([...more, ...others]).toEqual([])
	})

	it('has a server that starts', () => {
		expect(workbench.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
	})

	it('has a client that runs a plan on it and ends with the plan', async () => {
		const output = await workbench.outputOf(clientSource)
		expect(output).toContain('1 plan_created\n')
		expect(output).toContain("{ text: 'Hello, world!' }\n")
		expect(output).toMatch(/plan_completed\n$/)
	})

	it('has lines for the plain tRPC client that follow the same plan to its end', async () => {
		const output = await workbench.outputOf(trpcSource)
		expect(output).toMatch(/ready\n.*plan_created\n[\s\S]*plan_completed\n.*end\n$/)
	})

	it.skipIf(!hasCurl)('has a line for curl that shows the whole plan and ends', async () => {
		const output = await workbench.shell(watchLine)
		expect(output).toContain('"event_type":"plan_created"')
		expect(output).toMatch(/event: end\n.*\n.*"reason":"completed".*\n\n$/)
	})

	it.skipIf(!hasCurl)('has a line for curl that publishes, and changes nothing when it is repeated', async () => {
		const duplicates = (answer: string) =>
			(JSON.parse(answer) as { results: { duplicate: boolean }[] }).results.map(({ duplicate }) => duplicate)
		expect(duplicates(await workbench.shell(publishLine))).toEqual([false, false])
		expect(duplicates(await workbench.shell(publishLine))).toEqual([true, true])
	})
})
