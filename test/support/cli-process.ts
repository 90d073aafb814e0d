import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const BIN = fileURLToPath(new URL('../../cli/bin/planstream.js', import.meta.url))

export interface CommandResult {
	readonly code: number | null
	readonly stdout: string
	readonly stderr: string
	/** Standard output parsed as JSON lines. */
	readonly json: readonly Json[]
}

type Json = Readonly<Record<string, unknown>>
type Env = Readonly<Record<string, string>>

/** One run of the built command. It is killed when it is disposed before its end. */
export class CliProcess implements AsyncDisposable {
	readonly child: ChildProcessWithoutNullStreams
	readonly #lines: string[] = []
	readonly #closed: Promise<unknown>
	#stdout = ''
	#stderr = ''
	#arrived: () => void = () => {}

	constructor(
		args: readonly string[],
		env: Env = {},
		command: readonly [string, ...string[]] = [process.execPath, BIN, ...args],
	) {
		const [program, ...rest] = command
		this.child = spawn(program, rest, { env: { PATH: process.env.PATH, NO_COLOR: '1', ...env } })
		this.#closed = once(this.child, 'close').then(() => this.#arrived())
		createInterface(this.child.stdout).on('line', (line) => {
			this.#lines.push(line)
			this.#arrived()
		})
		this.child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
			this.#stdout += chunk
			this.#arrived()
		})
		this.child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
			this.#stderr += chunk
			this.#arrived()
		})
	}

	/** Runs the command in a folder. */
	static inFolder(folder: string, args: readonly string[], env: Env = {}): CliProcess {
		return new CliProcess(args, env, ['env', '-C', folder, process.execPath, BIN, ...args])
	}

	/** Runs the command in a terminal of its own, where standard error appears on standard output too. */
	static inTerminal(args: readonly string[], env: Env = {}, { columns = 0, rows = 0 } = {}): CliProcess {
		const quoted = [process.execPath, BIN, ...args].map((word) => `'${word}'`).join(' ')
		return new CliProcess(args, env, ['script', '-qec', `stty cols ${columns} rows ${rows}; exec ${quoted}`, '/dev/null'])
	}

	/** Runs a program in a terminal of its own, where `planstream` is a command. */
	static inShell(words: string, directory: string, env: Env = {}): CliProcess {
		const command = path.join(directory, 'planstream')
		writeFileSync(command, `#!/bin/sh\nexec '${process.execPath}' '${BIN}' "$@"\n`, { mode: 0o755 })
		const PATH = `${directory}:${process.env.PATH}`
		return new CliProcess([], { PATH, HOME: directory, TERM: 'xterm', ...env }, ['script', '-qec', words, '/dev/null'])
	}

	/** Runs the command in another working directory. */
	static within(directory: string, args: readonly string[], env: Env = {}): CliProcess {
		return new CliProcess(args, env, ['env', '-C', directory, process.execPath, BIN, ...args])
	}

	/** Writes this text to standard input and ends it. */
	input(text: string): this {
		this.child.stdin.end(text)
		return this
	}

	get lines(): readonly string[] {
		return this.#lines
	}

	/** Standard output so far. */
	get stdout(): string {
		return this.#stdout
	}

	get stderr(): string {
		return this.#stderr
	}

	/** Resolves when the output so far is enough; rejects when the process ends before. */
	async until(enough: (process: this) => boolean): Promise<void> {
		while (!enough(this)) {
			if (this.child.exitCode !== null) throw new Error(`It ended with ${this.child.exitCode}: ${this.#stdout}${this.#stderr}`)
			await new Promise<void>((resolve) => {
				this.#arrived = resolve
			})
		}
	}

	async end(): Promise<CommandResult> {
		await this.#closed
		const stdout = this.#stdout
		const parsed = () => this.#lines.map((line) => JSON.parse(line) as Json)
		return {
			code: this.child.exitCode,
			stdout,
			stderr: this.#stderr,
			get json() {
				return parsed()
			},
		}
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.child.kill('SIGKILL')
		await this.#closed
	}
}

/** Runs the command to its end. */
export function runPlanstream(args: readonly string[], env?: Env): Promise<CommandResult> {
	return new CliProcess(args, env).input('').end()
}

/** Creates a directory that is removed when it is disposed. */
export function createTemporaryDirectory(): { readonly path: string } & Disposable {
	const directory = mkdtempSync(path.join(tmpdir(), 'planstream-'))
	return { path: directory, [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }) }
}

/** Starts `planstream serve` on a free port and waits until it listens. */
export async function startServe(directory: string, env: Env = {}) {
	const server = new CliProcess(['serve'], { PORT: '0', PLANSTREAM_DATA: directory, PLANSTREAM_SCRIPTED: '1', ...env })
	await server.until(({ lines }) => lines.length > 0)
	const [, url = ''] = /listening on (\S+)$/.exec(server.lines[0] ?? '') ?? []
	return Object.assign(server, { url })
}
