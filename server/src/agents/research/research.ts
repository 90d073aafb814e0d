import type { Agent } from '../../plans/agent.js'
import type { CorpusPolicy } from './corpus.js'
import { crosscheckAgent } from './crosscheck.js'
import { extractAgent } from './extract.js'
import { IndexStore, indexAgent } from './index-store.js'
import { inventoryAgent } from './inventory.js'
import { reportAgent } from './report.js'
import { retrieveAgent } from './retrieve.js'

/** Folders that corpus research reads, and the directory of its indexes. */
export interface ResearchOptions extends CorpusPolicy {
	/** Directory of the full-text indexes, created when missing. It is a cache: lost indexes are rebuilt. */
	readonly indexDirectory: string
}

/**
 * Creates the agents of corpus research, one per kind of step: `corpus.inventory`, `corpus.index`, `corpus.retrieve`,
 * `corpus.extract`, `corpus.crosscheck` and `corpus.report`. They work offline on the text documents of a folder.
 *
 * @example
 * ```ts
 * const agents = researchAgents({ defaultCorpus: 'docs', indexDirectory: '.planstream/indexes' })
 * ```
 */
export function researchAgents(options: ResearchOptions): Agent[] {
	const store = new IndexStore(options.indexDirectory)
	return [
		inventoryAgent(options),
		indexAgent(options, store),
		retrieveAgent(options, store),
		extractAgent(options),
		crosscheckAgent(options),
		reportAgent(),
	]
}
