import * as z from 'zod'
import type { Agent } from '../../plans/agent.js'
import { defineAgent } from '../define-agent.js'
import { type CorpusPolicy, openCorpus } from './corpus.js'
import type { IndexStore } from './index-store.js'
import { indexResult, inventoryResult, resultOf } from './results.js'
import { unitProgress } from './unit-progress.js'

const input = z.strictObject({})

/** `corpus.index`: makes the full-text index of a `corpus.inventory` it depends on, or finds it made. */
export function indexAgent(policy: CorpusPolicy, store: IndexStore): Agent {
	return defineAgent({
		type: 'corpus.index',
		input,
		result: indexResult,
		async execute(_step, context) {
			context.signal.throwIfAborted()
			const inventory = resultOf(inventoryResult, context.inputs)
			const corpus = await openCorpus(inventory.corpus, policy)
			const progress = unitProgress(context, 'files')
			using index = await store.build(corpus, inventory, context.signal, ({ done, total }) => progress(done, total))
			context.signal.throwIfAborted()
			progress(inventory.files.length, inventory.files.length)
			const data = {
				kind: 'corpus.index',
				corpus: inventory.corpus,
				digest: inventory.digest,
				files: inventory.files.length,
				passages: index.passages,
			} as const
			return { data }
		},
	})
}
