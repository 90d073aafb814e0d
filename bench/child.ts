import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { buildCommand, type Cores } from './cores.js'

/** Far above the time of any answer; only a hanging program reaches it. */
const ANSWER_MS = 60_000

const running = new Set<ChildProcess>()
process.on('exit', () => {
	for (const child of running) child.kill('SIGKILL')
})

/** A program under test in a process of its own. Disposing it ends the process. */
export class Child<Order extends object, Report extends object> implements AsyncDisposable {
	readonly #name: string
	readonly #process: ChildProcess
	readonly #exited: Promise<unknown>

	/**
	 * @param program - the command with its arguments, which talks over IPC; the first argument after the script names it
	 * @param on - the cores it may use
	 */
	constructor(program: readonly string[], on: readonly number[], { pinned }: Cores) {
		this.#name = program[2] ?? program.join(' ')
		const [command = '', ...words] = buildCommand(on, pinned, program)
		this.#process = spawn(command, words, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
		this.#exited = once(this.#process, 'exit')
		running.add(this.#process)
	}

	send(order: Order): void {
		this.#process.send(order)
	}

	/**
	 * Waits for the next report, which answers the order sent in the same turn.
	 *
	 * @throws Error when the process ends or does not answer
	 */
	async report(): Promise<Report> {
		const over = new AbortController()
		const { signal } = over
		const late = setTimeout(() => over.abort(new Error(`${this.#name} did not answer within ${ANSWER_MS / 1000} s.`)), ANSWER_MS)
		const gone = (): void => over.abort(new Error(`${this.#name} ended with code ${this.#process.exitCode}.`))
		if (this.#process.exitCode === null) this.#process.once('exit', gone)
		else gone()
		try {
			const [report] = (await once(this.#process, 'message', { signal })) as [Report]
			return report
		} catch (error) {
			throw signal.aborted ? signal.reason : error
		} finally {
			clearTimeout(late)
			this.#process.off('exit', gone)
		}
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#process.kill('SIGKILL')
		await this.#exited
		running.delete(this.#process)
	}
}
