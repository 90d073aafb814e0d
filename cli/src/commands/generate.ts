import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Agent } from '@planstream/server'
import { resolveServer } from '../connection.js'
import { EXIT, type ExitCode, UsageError } from '../exit.js'
import { note, writeLine } from '../output.js'

export interface GenerateOptions {
	/** Module with a list of agents as its default export or its export `agents`. */
	readonly agents: string
	/** Folder to write to. */
	readonly out: string
}

/** `planstream generate`: writes an SDK with the types of a module's agents. */
export async function generateCommand({ agents: module, out }: GenerateOptions): Promise<ExitCode> {
	const { agentTypes } = await import('@planstream/server')
	const source = agentTypes(await loadAgents(module))
	const file = path.join(out, 'index.ts')
	await mkdir(out, { recursive: true })
	await writeFile(file, source)
	note(`Wrote ${file}. Import createPlanstreamClient from it.`)
	return EXIT.done
}

async function loadAgents(module: string): Promise<readonly Agent[]> {
	const loaded = (await import(pathToFileURL(path.resolve(module)).href).catch((cause: unknown) => {
		const reason = cause instanceof Error ? cause.message : String(cause)
		throw new UsageError(`${module} cannot be loaded: ${reason}. Name a JavaScript module.`)
	})) as { readonly default?: unknown; readonly agents?: unknown }
	const agents = loaded.agents ?? loaded.default
	if (Array.isArray(agents) && agents.every(isAgent)) return agents
	throw new UsageError(`${module} exports no agents. Export a list of them as \`agents\`.`)
}

function isAgent(value: unknown): value is Agent {
	return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string' && 'execute' in value
}

export interface ConformanceCommandOptions {
	readonly url?: string
}

/** `planstream conformance`: tests whether a server implements the protocol and prints a TAP line for each behaviour. */
export async function conformanceCommand({ url }: ConformanceCommandOptions): Promise<ExitCode> {
	const { conformanceCases } = await import('@planstream/server/testing')
	const cases = conformanceCases(await resolveServer(url))
	let failed = 0
	for (const [at, { name, run }] of cases.entries()) {
		const reason = await run().then(
			() => null,
			(error: unknown) => (error instanceof Error ? error.message : String(error)),
		)
		await writeLine(`${reason === null ? 'ok' : 'not ok'} ${at + 1} - ${name}`)
		if (reason === null) continue
		failed += 1
		for (const line of reason.split('\n')) await writeLine(`  # ${line}`)
	}
	await writeLine(`1..${cases.length}`)
	return failed === 0 ? EXIT.done : EXIT.planFailed
}
