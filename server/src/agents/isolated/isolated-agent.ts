import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { isAbsolute } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { PlanstreamError } from '@planstream/shared'
import type { Agent, AgentSchemas } from '../../plans/agent.js'
import { AgentProcess } from './agent-process.js'

/** A fair semaphore: callers wait in order of arrival. */
export class Slots {
	#free: number
	readonly #waiting = new Set<() => void>()

	constructor(count: number) {
		this.#free = count
	}

	/** Resolves with a slot that disposal releases. Rejects with the signal's reason. */
	async take(signal: AbortSignal): Promise<Disposable> {
		signal.throwIfAborted()
		if (this.#free > 0) this.#free -= 1
		else await this.#wait(signal)
		return { [Symbol.dispose]: () => this.#release() }
	}

	#wait(signal: AbortSignal): Promise<void> {
		return new Promise((resolve, reject) => {
			const leave = () => {
				this.#waiting.delete(enter)
				reject(signal.reason)
			}
			const enter = () => {
				signal.removeEventListener('abort', leave)
				resolve()
			}
			signal.addEventListener('abort', leave, { once: true })
			this.#waiting.add(enter)
		})
	}

	#release(): void {
		const [next] = this.#waiting
		if (next === undefined) {
			this.#free += 1
			return
		}
		this.#waiting.delete(next)
		next()
	}
}

/** Options of an isolated agent. */
export interface IsolatedAgentOptions extends AgentSchemas {
	/** The `agent_type` of its steps. */
	readonly type: string
	/** A JavaScript module whose default export is the {@link Agent}: a `file:` URL or an absolute path. */
	readonly module: URL | string
	/** Megabytes of JavaScript heap for one attempt, not counting buffers. @defaultValue 256 */
	readonly memoryMb?: number
	/** Maximum number of simultaneous attempts; others wait, which counts towards their timeout. @defaultValue 8 */
	readonly processes?: number
}

/**
 * Creates an agent that runs each attempt in its own process. If it blocks its event loop, exits, crashes or runs out of memory,
 * only that attempt fails. The process is killed when the attempt is over.
 *
 * @throws PlanstreamError `bad_request` for a missing module, a relative path, and limits that are not positive whole numbers
 * @example
 * ```ts
 * isolatedAgent({ type: 'render', module: new URL('./render.js', import.meta.url) })
 * ```
 */
export function isolatedAgent({ type, module, memoryMb = 256, processes = 8, ...schemas }: IsolatedAgentOptions): Agent {
	assertPositive(type, { memoryMb, processes })
	const file = createRequire(import.meta.url).resolve('#agents/isolated-child')
	const options = { file, module: resolveModule(type, module), memoryMb }
	const slots = new Slots(processes)
	return {
		...schemas,
		type,
		async execute(step, context) {
			using _slot = await slots.take(context.signal)
			context.signal.throwIfAborted()
			return await new AgentProcess(options, step, context).run()
		},
	}
}

function assertPositive(type: string, numbers: Readonly<Record<string, number>>): void {
	for (const [name, value] of Object.entries(numbers)) {
		if (Number.isSafeInteger(value) && value > 0) continue
		const message = `${name} of the agent ${type} is ${value}; it must be a whole number of at least 1.`
		throw new PlanstreamError('bad_request', message, { agent_type: type })
	}
}

function resolveModule(type: string, module: URL | string): string {
	const url = toFileUrl(module)
	if (url !== null && existsSync(fileURLToPath(url))) return url.href
	const problem = url === null ? 'is neither a file: URL nor an absolute path' : 'does not exist'
	const message = `The module ${String(module)} of the agent ${type} ${problem}. Give a JavaScript file, such as new URL('./agent.js', import.meta.url).`
	throw new PlanstreamError('bad_request', message, { agent_type: type })
}

function toFileUrl(module: URL | string): URL | null {
	if (typeof module === 'string' && isAbsolute(module)) return pathToFileURL(module)
	const url = URL.canParse(module) ? new URL(module) : null
	return url?.protocol === 'file:' ? url : null
}
