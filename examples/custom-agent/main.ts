// A server with an agent of your own, with schemas for its input and result, and a plan of two steps that uses it.
import { createPlanstreamClient } from '@planstream/client'
import { defineAgent, startServer } from '@planstream/server'
import * as z from 'zod'

const wordCount = defineAgent({
	type: 'word_count',
	input: z.strictObject({ text: z.string().min(1) }),
	result: z.object({ words: z.int(), longest: z.string() }),
	execute: async ({ input }, context) => {
		const words = input.text.split(/\s+/)
		context.progress(0.5, `${words.length} words`)
		const longest = words.reduce((one, other) => (other.length > one.length ? other : one))
		return { data: { words: words.length, longest } }
	},
})

await using server = await startServer({ port: 0, store: { kind: 'memory' }, agents: [wordCount] })
await using planstream = createPlanstreamClient({ url: server.url })

const { result } = await planstream.plans.run(
	{
		query: 'How long are these?',
		steps: [
			{ step_id: 'short', action: 'count', agent_type: 'word_count', input: { text: 'two words' }, depends_on: [] },
			{ step_id: 'long', action: 'count', agent_type: 'word_count', input: { text: 'a few more words' }, depends_on: [] },
		],
	},
	{ onEvent: (event) => console.log(event.seq, event.event_type, event.step_id ?? '') },
)
console.log(JSON.stringify(result))
