// An orchestrator of your own: it does the work itself and publishes the events. It needs a server: npx planstream serve
import { createPlanstreamClient } from '@planstream/client'

const url = process.env.PLANSTREAM_URL ?? 'http://localhost:3000'
const plan_id = process.env.PLAN_ID ?? 'nightly'
const SOURCES = ['customers', 'orders', 'invoices']

await using planstream = createPlanstreamClient({ url })
await using publisher = planstream.publisher(plan_id)

await publisher.planStarted('Nightly import', SOURCES.length)
for (const source of SOURCES) {
	await publisher.stepStarted(source, `Import ${source}`)
	await publisher.stepProgress(source, 0.5, 'half of the rows')
	await publisher.stepCompleted(source, { rows: source.length * 1000 })
}
// Each call returns when there is room for its event; this one returns when all of them are durable.
await publisher.planCompleted({ sources: SOURCES.length })
await publisher.flush()
console.log(`published ${plan_id}: watch it at ${url}/api/v1/streaming/plans/${plan_id}/events`)
