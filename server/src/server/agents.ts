import path from 'node:path'
import { PlanstreamError } from '@planstream/shared'
import { builtInAgents } from '../agents/built-in.js'
import type { Agent } from '../plans/agent.js'

interface AgentOptions {
	readonly agents?: readonly Agent[]
	readonly scripted?: boolean
	readonly corpus?: string
}

/** The agents of a server: the built-in ones and its own. */
export function agentsOf(
	{ agents = [], scripted = false, corpus = path.resolve('docs') }: AgentOptions,
	directory: string,
): Agent[] {
	return [...builtInAgents({ scripted, dataDirectory: directory, defaultCorpus: corpus }), ...agents]
}

/**
 * Refuses two agents of one type: a step could not say which of them it means.
 *
 * @throws PlanstreamError `bad_request`
 */
export function assertAgents(options: AgentOptions): void {
	const own = options.agents?.length ?? 0
	const all = agentsOf(options, '')
	const builtIn = all.length - own
	const nameOf = (index: number) => (index < builtIn ? 'a built-in agent' : `agents[${index - builtIn}]`)
	for (const [index, { type }] of all.entries()) {
		const first = all.findIndex((other) => other.type === type)
		if (first === index) continue
		const sentence = `${nameOf(first)} and ${nameOf(index)} both have the type ${type}. Give each agent a type of its own.`
		throw new PlanstreamError('bad_request', sentence, { agent_type: type })
	}
}
