import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { createInterface } from 'node:readline'

/** A server under measurement in its own process, which can collect its garbage. Disposing it ends the process. */
export class MeasuredServer implements AsyncDisposable {
	readonly #child: ChildProcess
	readonly #lines: AsyncIterator<string>
	url = ''

	private constructor(script: string) {
		const stdio = ['pipe', 'pipe', 'inherit'] as const
		const cwd = path.resolve(import.meta.dirname, '../../../server')
		const child = spawn(process.execPath, ['--expose-gc', '--input-type=module', '-e', script], { cwd, stdio: [...stdio] })
		this.#child = child
		this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
	}

	/**
	 * @param script - starts a server, prints its URL, answers each line of its input with a line of JSON, and exits when its
	 * input ends
	 */
	static async start(script: string): Promise<MeasuredServer> {
		const server = new MeasuredServer(script)
		server.url = await server.#line()
		return server
	}

	async ask<Answer>(question: string): Promise<Answer> {
		this.#child.stdin?.write(`${question}\n`)
		return JSON.parse(await this.#line()) as Answer
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#child.stdin?.end()
		if (this.#child.exitCode === null) await once(this.#child, 'exit')
	}

	async #line(): Promise<string> {
		return String((await this.#lines.next()).value)
	}
}
