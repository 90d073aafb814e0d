import { once } from 'node:events'
import { serve } from '@hono/node-server'
import { createPlanstreamClient, PlanstreamError } from '@planstream/client'
import { createPlanstream, defineAgent, PlanstreamError as ServerError } from '@planstream/server'
import { initTRPC } from '@trpc/server'
import { Hono } from 'hono'
import * as z from 'zod'

/** Mounts a server in an application both ways, runs a plan over each, and prints what was seen; the same text for every version. */
const [directory] = process.argv.slice(2)
const wordCount = defineAgent({
	type: 'word_count',
	input: z.object({ text: z.string() }),
	result: z.object({ words: z.int() }),
	execute: ({ input }) => Promise.resolve({ data: { words: input.text.split(' ').length } }),
})
const planstream = await createPlanstream({ store: { kind: 'sqlite', directory }, agents: [wordCount] })
const app = new Hono().onError((error, context) => context.text(`host: ${error.message}`, 500))
app.use(async (context, next) => {
	await next()
	context.header('x-host', 'yes')
})
app.all('/handler/*', planstream.handler)
app.route('/app/:team', planstream.app)

const t = initTRPC.create()
const router = t.router({ planstream: planstream.router })
await t
	.createCallerFactory(router)({})
	.planstream.plans.list({})
	.catch(({ code }) => say({ router: code }))

const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
planstream.attachWebSockets(server, { path: '/handler' })
await once(server, 'listening')
const url = `http://127.0.0.1:${server.address().port}`
const step = { step_id: 'a', action: 'count', agent_type: 'word_count', input: { text: 'one two' } }

for (const base of ['/handler', '/app/blue']) {
	const client = createPlanstreamClient({ url: url + base, transport: 'sse' })
	const { plan_id } = await client.plans.create({ query: 'How many?', steps: [step] })
	const seqs = []
	for await (const event of client.plans.events({ plan_id })) seqs.push(event.seq)
	const { result } = await client.plans.get({ plan_id })
	const refused = await client.plans.create({ query: 'q', steps: [{ ...step, input: {} }] }).catch((error) => error)
	await client.close()
	const live = await fetch(`${url}${base}/health/live`)
	const stream = await fetch(`${url}${base}/api/v1/streaming/plans/${plan_id}/events`)
	const blocks = (await stream.text()).split('\n\n').filter((block) => block.includes('"seq"')).length
	const history = await fetch(`${url}${base}/api/v1/streaming/plans/${plan_id}/history`, {
		headers: { 'accept-encoding': 'identity' },
	})
	say({
		base,
		seqs,
		result,
		blocks,
		live: [live.status, live.headers.get('x-host')],
		encoding: history.headers.get('content-encoding'),
		refused: [refused.code, refused instanceof PlanstreamError, refused instanceof ServerError],
	})
}
const withoutNode = await app.request('/app/blue/health/live')
say({ withoutNode: (await withoutNode.text()).split(',')[0] })
await planstream.close()
server.close()

function say(seen) {
	console.log(JSON.stringify(seen))
}
