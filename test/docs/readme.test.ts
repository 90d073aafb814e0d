import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { blocksIn, root } from './documents.js'

/** What the README says the server's address is. */
const WRITTEN = 'http://localhost:3000'
const hasCurl = spawnSync('curl', ['--version']).status === 0
const RUNNING_MS = 30_000

/** A folder of this test below the repository, where Node finds the packages. */
class Workbench {
	readonly #folder: string
	#files = 0

	constructor() {
		mkdirSync(`${root}dist`, { recursive: true })
		this.#folder = mkdtempSync(`${root}dist/readme-`)
	}

	/** A program of the README as a process of its own. */
	start(source: string): ChildProcess {
		this.#files += 1
		const file = `${this.#folder}/program-${this.#files}.mjs`
		const { outputText } = ts.transpileModule(source, {
			compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true },
		})
		writeFileSync(file, outputText)
		return spawn(process.execPath, [file], { cwd: this.#folder, stdio: ['ignore', 'pipe', 'inherit'] })
	}

	remove(): void {
		rmSync(this.#folder, { recursive: true, force: true })
	}
}

describe('The README, read from its top', { timeout: RUNNING_MS }, () => {
	const [serverSource, clientSource, trpcSource, ...more] = blocksIn('ts', ['README.md']).map(({ text }) => text)
	const [watchLine, publishLine, ...others] = blocksIn('sh', ['README.md'])
		.map(({ text }) => text)
		.filter((text) => text.startsWith('curl'))
	const workbench = new Workbench()
	let server: ChildProcess
	let url = ''

	beforeAll(async () => {
		server = workbench.start((serverSource ?? '').replace('port: 3000', 'port: 0'))
		if (server.stdout === null) throw new Error('the output of the server is piped')
		for await (const line of createInterface({ input: server.stdout })) {
			url = /^listening on (\S+)$/.exec(line)?.[1] ?? ''
			break
		}
	}, RUNNING_MS)

	afterAll(async () => {
		const ended = once(server, 'exit')
		server.kill()
		await ended
		workbench.remove()
	})

	/** Runs a program of the README against the server and gives what it printed, once it has ended by itself. */
	async function outputOf(source: string): Promise<string> {
		const program = workbench.start(source.replaceAll(WRITTEN, url))
		let output = ''
		program.stdout?.on('data', (chunk: Buffer) => {
			output += chunk.toString()
		})
		const [code] = (await once(program, 'close')) as [number | null]
		expect(code).toBe(0)
		return output
	}

	const shell = async (line: string): Promise<string> => {
		const { stdout } = await promisify(execFile)('bash', ['-c', line.replaceAll(WRITTEN, url)])
		return stdout
	}

	it('holds three programs and two lines for curl', () => {
		expect([serverSource, clientSource, trpcSource, watchLine, publishLine]).not.toContain(undefined)
		expect([...more, ...others]).toEqual([])
	})

	it('has a server that starts', () => {
		expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
	})

	it('has a client that runs a plan on it and ends with the plan', async () => {
		const output = await outputOf(clientSource ?? '')
		expect(output).toContain('1 plan_created\n')
		expect(output).toContain("{ text: 'Hello, world!' }\n")
		expect(output).toMatch(/plan_completed\n$/)
	})

	it('has lines for the plain tRPC client that follow the same plan to its end', async () => {
		const output = await outputOf(trpcSource ?? '')
		expect(output).toMatch(/ready\n.*plan_created\n[\s\S]*plan_completed\n.*end\n$/)
	})

	it.skipIf(!hasCurl)('has a line for curl that shows the whole plan and ends', async () => {
		const output = await shell(watchLine ?? '')
		expect(output).toContain('"event_type":"plan_created"')
		expect(output).toMatch(/event: end\n.*\n.*"reason":"completed".*\n\n$/)
	})

	it.skipIf(!hasCurl)('has a line for curl that publishes, and changes nothing when it is repeated', async () => {
		const duplicates = (answer: string) =>
			(JSON.parse(answer) as { results: { duplicate: boolean }[] }).results.map(({ duplicate }) => duplicate)
		expect(duplicates(await shell(publishLine ?? ''))).toEqual([false, false])
		expect(duplicates(await shell(publishLine ?? ''))).toEqual([true, true])
	})
})
