import type { Agent, StepContext, StepInput, StepResult, StepUpdate } from './agent.js'

/** Has an agent do a step, whichever of the two forms it has. Rejects for everything it throws. */
export async function callAgent(agent: Agent, step: StepInput, context: StepContext): Promise<StepResult> {
	const returned = agent.execute(step, context)
	return Symbol.asyncIterator in returned ? follow(returned, context) : returned
}

/** Takes an agent's updates one by one; the next is asked for when the last is in the log. */
async function follow(updates: AsyncIterable<StepUpdate>, context: StepContext): Promise<StepResult> {
	for await (const update of updates) {
		if (context.signal.aborted) break
		if ('result' in update) return update.result
		if ('progress' in update) context.progress(update.progress, update.message)
		if ('output' in update) context.output(update.output, update.channel === undefined ? {} : { channel: update.channel })
		if ('usage' in update) context.usage(update.usage)
		await context.drained()
	}
	throw new TypeError('The agent ended without a result. Its last update must be { result: { data } }.')
}
