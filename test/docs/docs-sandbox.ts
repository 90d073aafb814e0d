import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import ts from 'typescript'
import { root } from './documents.js'

/** The address of the server in the documents. */
const WRITTEN = 'http://localhost:3000'

export const hasCurl = spawnSync('curl', ['--version']).status === 0

/**
 * Runs programs of the documents in a folder below the repository, where Node resolves the packages, against the server of a
 * document.
 */
export class DocsSandbox implements AsyncDisposable {
	readonly #folder: string
	readonly #server: ChildProcess
	#files = 0
	/** The actual address of the server. */
	url = ''

	private constructor(server: string) {
		mkdirSync(`${root}dist`, { recursive: true })
		this.#folder = mkdtempSync(`${root}dist/docs-`)
		this.#server = this.#start(server.replace('port: 3000', 'port: 0'))
	}

	/** Resolves when the server of a document prints that it listens. */
	static async serve(source = ''): Promise<DocsSandbox> {
		const sandbox = new DocsSandbox(source)
		const { stdout } = sandbox.#server
		if (stdout === null) throw new Error('the output of the server is piped')
		for await (const line of createInterface({ input: stdout })) {
			sandbox.url = /^listening on (\S+)$/.exec(line)?.[1] ?? ''
			return sandbox
		}
		throw new Error('The server ended before it listened.')
	}

	/** Runs a program against the server and returns its output once it has exited. */
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

	/** Runs shell commands against the server and returns their output. */
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

	/** Starts a program of a document in its own process. */
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
