import * as z from 'zod'
import type { Agent } from '../../plans/agent.js'
import { defineAgent } from '../define-agent.js'
import { parseInput } from '../parse-input.js'
import { type CorpusPolicy, openCorpus } from './corpus.js'
import { takeInventory } from './inventory.js'
import { inventoryResult, researchInput } from './results.js'
import { unitProgress } from './unit-progress.js'

const input = z.strictObject({ corpus: z.string().min(1).max(4096).optional().describe("absent: the plan's") })

/** `corpus.inventory`: lists the documents of the corpus with size and hash. Needs nothing before it. */
export function inventoryAgent(policy: CorpusPolicy): Agent {
	return defineAgent({
		type: 'corpus.inventory',
		input,
		result: inventoryResult,
		async execute({ input: own }, context) {
			context.signal.throwIfAborted()
			const given = own.corpus ?? parseInput(researchInput, context.plan.input, 'plan.input').corpus ?? null
			const corpus = await openCorpus(given, policy)
			const progress = unitProgress(context, 'files')
			const inventory = await takeInventory(corpus, context.signal, progress)
			if (inventory.files.length === 0) context.output('The corpus holds no text documents.\n', { channel: 'log', level: 'warn' })
			context.usage({ bytes_read: inventory.total_bytes })
			const data = { kind: 'corpus.inventory', corpus: given, ...inventory } as const
			return { data }
		},
	})
}
