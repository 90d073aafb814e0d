import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import ts from 'typescript'
import { root } from './documents.js'

/** What the documents say the server's address is. */
const WRITTEN = 'http://localhost:3000'

export const hasCurl = spawnSync('curl', ['--version']).status === 0

/** A folder below the repository, where Node finds the packages, with the server of a document and what is run against it. */
export class DocsSandbox implements AsyncDisposable {
	readonly #folder: string
	readonly #server: ChildProcess
	#files = 0
	/** Where the server listens in truth. */
	url = ''

	private constructor(server: string) {
		mkdirSync(`${root}dist`, { recursive: true })
		this.#folder = mkdtempSync(`${root}dist/docs-`)
		this.#server = this.#start(server.replace('port: 3000', 'port: 0'))
	}

	/** Resolves when the server of a document says that it listens. */
	static async serve(source = ''): Promise<DocsSandbox> {
		const workbench = new DocsSandbox(source)
		const { stdout } = workbench.#server
		if (stdout === null) throw new Error('the output of the server is piped')
		for await (const line of createInterface({ input: stdout })) {
			workbench.url = /^listening on (\S+)$/.exec(line)?.[1] ?? ''
			return workbench
		}
		throw new Error('The server ended before it listened.')
	}

	/** Runs a program against the server and gives what it printed, once it has ended by itself. */
	async outputOf(source = ''): Promise<string> {
		const program = this.#start(source.replaceAll(WRITTEN, this.url))
		let output = ''
		program.stdout?.on('data', (chunk: Buffer) => {
			output += chunk.toString()
		})
		const [code] = (await once(program, 'close')) as [number | null]
		if (code !== 0) throw new Error(`The program ended with ${code}; it said: ${output}`)
		return output
	}

	/** Runs lines for a shell against the server and gives what they printed. */
	async shell(lines = ''): Promise<string> {
		const { stdout } = await promisify(execFile)('bash', ['-c', lines.replaceAll(WRITTEN, this.url)])
		return stdout
	}

	async [Symbol.asyncDispose](): Promise<void> {
		const ended = once(this.#server, 'exit')
		this.#server.kill()
		await ended
		rmSync(this.#folder, { recursive: true, force: true })
	}

	/** A program of a document as a process of its own. */
	#start(source: string): ChildProcess {
		this.#files += 1
		const file = `${this.#folder}/program-${this.#files}.mjs`
		const { outputText } = ts.transpileModule(source, {
			compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true },
		})
		writeFileSync(file, outputText)
		return spawn(process.execPath, [file], { cwd: this.#folder, stdio: ['ignore', 'pipe', 'inherit'] })
	}
}
