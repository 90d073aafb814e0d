import { createPlanstreamClient } from '@planstream/client'

/** Runs a plan and returns what it saw of it; the same text for every runtime. */
export async function runPlan(options, plan_id) {
	const planstream = createPlanstreamClient(options)
	const seqs = []
	let result = null
	const steps = [{ step_id: 'one', action: 'look', agent_type: 'scripted', input: { result: { found: 3 } } }]
	await planstream.plans.create({ plan_id, query: 'Which?', steps })
	for await (const event of planstream.plans.events({ plan_id })) {
		seqs.push(event.seq)
		if (event.event_type === 'step_completed') result = event.data.data
	}
	await planstream.close()
	return { seqs, result }
}
