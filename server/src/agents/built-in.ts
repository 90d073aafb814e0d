import path from 'node:path'
import type { Agent } from '../plans/agent.js'
import { researchAgents } from './research/research.js'
import { scriptedAgent } from './scripted.js'

/** Server settings that the built-in agents need. */
export interface BuiltInOptions {
	/** Whether plans may use corpus research. */
	readonly research: boolean
	/** Whether plans may use the test and demonstration agent `scripted`. */
	readonly scripted: boolean
	/** The server's data directory; indexes go to `indexes` in it. */
	readonly dataDirectory: string
	/** Folder that corpus research reads when a plan names none. */
	readonly defaultCorpus: string
	/** Folders that a corpus research of a tenant may read. */
	readonly rootsOf: (tenant: string) => readonly string[]
}

/** Creates the built-in agents that are enabled: corpus research and the scripted agent. */
export function createBuiltInAgents(options: BuiltInOptions): Agent[] {
	const { research, scripted, dataDirectory, defaultCorpus, rootsOf } = options
	const indexDirectory = path.join(dataDirectory, 'indexes')
	return [...(research ? researchAgents({ defaultCorpus, rootsOf, indexDirectory }) : []), ...(scripted ? [scriptedAgent()] : [])]
}
