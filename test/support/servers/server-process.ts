import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'

const COMMAND = path.resolve(import.meta.dirname, '../../../cli/dist/main.js')

/** The built server in its own process, which can be killed and restarted on the same directory and port. */
export class ServerProcess implements AsyncDisposable {
	readonly directory: string
	readonly #env: Record<string, string>
	#child: ChildProcess | null = null
	#port = '0'
	url = ''

	private constructor(directory: string, env: Record<string, string>) {
		this.directory = directory
		this.#env = env
	}

	static async start(env: Record<string, string> = {}): Promise<ServerProcess> {
		const server = new ServerProcess(await mkdtemp(path.join(tmpdir(), 'planstream-process-')), env)
		await server.restart()
		return server
	}

	/** Id of the process; 0 while there is none. */
	get pid(): number {
		return this.#child?.pid ?? 0
	}

	/** Whether the process has not ended. */
	get isAlive(): boolean {
		return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null
	}

	/** Starts the process and resolves when it listens. */
	async restart(): Promise<void> {
		const env = { ...process.env, PORT: this.#port, PLANSTREAM_DATA: this.directory, LOG_LEVEL: 'silent', ...this.#env }
		const child = spawn(process.execPath, [COMMAND, 'serve'], { env, stdio: ['ignore', 'pipe', 'inherit'] })
		this.#child = child
		const lines = createInterface({ input: child.stdout })
		const [line] = (await Promise.race([once(lines, 'line'), once(child, 'exit').then(() => [''])])) as [string]
		const url = /^planstream listening on (http:\S+)$/.exec(line)?.[1]
		if (url === undefined) throw new Error(`The server did not start; it said: ${line}`)
		this.url = url
		this.#port = new URL(url).port
	}

	/** Kills the process like a crash and resolves when it has exited. */
	async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<number | null> {
		const child = this.#child
		if (child === null || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null
		child.kill(signal)
		const [code] = (await once(child, 'exit')) as [number | null]
		return code
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.kill()
		await rm(this.directory, { recursive: true, force: true })
	}
}
