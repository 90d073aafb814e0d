import path from 'node:path'
import type { Agent } from '../plans/agent.js'
import { researchAgents } from './research/research.js'
import { scriptedAgent } from './scripted.js'

/** Server settings that the built-in agents need. */
export interface BuiltInOptions {
	/** Whether plans may use the test and demonstration agent `scripted`. */
	readonly scripted: boolean
	/** The server's data directory; indexes go to `indexes` in it. */
	readonly dataDirectory: string
	/** Folder that corpus research reads when a plan names none. */
	readonly defaultCorpus: string
	/** Folders that a corpus research of a tenant may read. */
	readonly rootsOf: (tenant: string) => readonly string[]
}

/** Creates the agents that every server has: corpus research and, if enabled, the scripted agent. */
export function createBuiltInAgents({ scripted, dataDirectory, defaultCorpus, rootsOf }: BuiltInOptions): Agent[] {
	const research = researchAgents({ defaultCorpus, rootsOf, indexDirectory: path.join(dataDirectory, 'indexes') })
	return scripted ? [...research, scriptedAgent()] : research
}
