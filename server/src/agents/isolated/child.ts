import { Worker } from 'node:worker_threads'
import { AGENT_TYPE_PATTERN } from '@planstream/shared'
import { type Agent, callAgent } from '../../plans/agent.js'
import { stringifyResult, toFailure } from '../../plans/attempt-checks.js'
import { agentError } from '../define-agent.js'
import { RemoteContext } from './remote-context.js'
import type { FromChild, Start, ToChild } from './reports.js'

/** Runs one attempt: loads the agent, calls it and reports its outcome. The server ends the process. */
function main(): void {
	if (process.send === undefined)
		throw new Error('This file only runs as the process of an isolated agent. Define one with isolatedAgent().')
	const send = process.send.bind(process)
	const report = (message: FromChild, sent?: () => void): void => void send(message, undefined, undefined, sent)
	// The agent must report through its context, which is bounded.
	delete process.send
	new Worker(new URL('./watchdog.js', import.meta.url), { workerData: Number(process.argv[2]) })
	process.once('disconnect', () => process.exit())
	process.on('uncaughtException', (thrown) => {
		const message = `The agent threw an uncaught error: ${toFailure(thrown).message}`
		const failure = toFailure(agentError('agent_crashed', message, { retryable: true }))
		report({ kind: 'failure', failure }, () => process.exit(1))
	})
	process.once('message', (message: Start) => void runAttempt(message, report))
}

async function runAttempt({ module, step, given }: Start, report: (message: FromChild) => void): Promise<void> {
	const context = new RemoteContext(given, (reports) => report({ kind: 'reports', reports }))
	process.on('message', (message: Exclude<ToChild, Start>) => context.receive(message))
	const ended = await loadAgent(module)
		.then((agent) => callAgent(agent, step, context))
		.then((returned): FromChild => ({ kind: 'result', text: stringifyResult(returned) ?? 'null' }))
		.catch((thrown: unknown): FromChild => ({ kind: 'failure', failure: toFailure(thrown) }))
	await context.drained()
	report(ended)
}

async function loadAgent(module: string): Promise<Agent> {
	const loaded = (await import(module).catch((cause: unknown) => {
		const reason = cause instanceof Error ? cause.message : String(cause)
		throw agentError('agent_not_loaded', `${module} could not be loaded: ${reason}`, { cause })
	})) as { readonly default?: unknown }
	if (isAgent(loaded.default)) return loaded.default
	const message = `The default export of ${module} is not an agent. Export an object with a type and a method execute.`
	throw agentError('agent_not_loaded', message)
}

function isAgent(value: unknown): value is Agent {
	if (typeof value !== 'object' || value === null || !('type' in value) || !('execute' in value)) return false
	return AGENT_TYPE_PATTERN.test(String(value.type)) && typeof value.execute === 'function'
}

main()
