import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DocsSandbox, hasCurl } from './docs-sandbox.js'
import { blocksIn } from './documents.js'

const RUNNING_MS = 30_000

describe('the README', { timeout: RUNNING_MS }, () => {
	const [serverSource, clientSource, ...more] = blocksIn('js', ['README.md']).map(({ text }) => text)
	const trpcSource = blocksIn('ts', ['docs/client.md']).find(({ text }) => text.includes('@trpc/client'))?.text
	const [watchLine, ...others] = blocksIn('sh', ['README.md'])
		.map(({ text }) => text)
		.filter((text) => text.startsWith('curl'))
	let sandbox: DocsSandbox

	beforeAll(async () => {
		sandbox = await DocsSandbox.serve(serverSource)
	}, RUNNING_MS)
	afterAll(() => sandbox[Symbol.asyncDispose]())

	it('holds two programs and a curl command', () => {
		expect([serverSource, clientSource, trpcSource, watchLine]).not.toContain(undefined)
		expect([...more, ...others]).toEqual([])
	})

	it('has a server that starts', () => {
		expect(sandbox.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
	})

	it('has a client that runs a plan on that server and ends with the plan', async () => {
		const output = await sandbox.outputOf(clientSource)
		expect(output).toContain('1 plan_created\n')
		expect(output).toContain("{ text: 'Hello, world!' }\n")
		expect(output).toMatch(/plan_completed\n$/)
	})

	it('serves the plan to the plain tRPC client of the client page', async () => {
		const output = await sandbox.outputOf(trpcSource)
		expect(output).toMatch(/ready\n.*plan_created\n[\s\S]*plan_completed\n.*end\n$/)
	})

	it.skipIf(!hasCurl)('has a curl command that shows the whole plan and ends', async () => {
		const output = await sandbox.shell(watchLine)
		expect(output).toContain('"event_type":"plan_created"')
		expect(output).toMatch(/event: end\n.*\n.*"reason":"completed".*\n\n$/)
	})
})
