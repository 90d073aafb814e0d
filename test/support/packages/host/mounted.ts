import { serve } from '@hono/node-server'
import { createPlanstream, defineAgent, type Planstream, type Principal } from '@planstream/server'
import { startTestPlanstream } from '@planstream/server/testing'
import { Hono } from 'hono'
import * as z from 'zod'

export const agent = defineAgent({
	type: 'word_count',
	input: z.object({ text: z.string() }),
	result: z.object({ words: z.int() }),
	execute: ({ input }) => Promise.resolve({ data: { words: input.text.length } }),
})

export const planstream: Planstream = await createPlanstream({
	store: { kind: 'memory' },
	agents: [agent],
	authorize: (): Principal | null => null,
})
export const app = new Hono()
	.get('/hello', (context) => context.json({ hello: 'world' }))
	.all('/planstream/*', planstream.handler)
export const server = serve({ fetch: app.fetch, port: 0 })
planstream.attachWebSockets(server, { path: '/planstream' })
export const tested = startTestPlanstream({ agents: [agent] })

// @ts-expect-error a store is memory or sqlite
export const refused = createPlanstream({ store: { kind: 'disk' } })
