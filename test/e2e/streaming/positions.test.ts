import { createPlanstreamClient } from '@planstream/client'
import { expect, it } from 'vitest'
import { startTestServer } from '../../support/servers/test-server.js'
import { READERS } from '../../support/streams/stream-readers.js'

const output = (step_id: string) => ({ event_type: 'step_output', step_id, data: { delta: 'x' } }) as const

it.concurrent.each(READERS)(
	'%s moves the cursor past events that a filter hides just after one that it shows',
	async (_, read) => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url })
		const publish = (step_id: string) => planstream.events.publish({ plan_id: 'p', events: [output(step_id)] })
		await publish('shown')
		const items = read(server.url, { plan_id: 'p', step_id: 'shown' })
		const next = async () => (await items.next()).value?.item
		expect(await next()).toMatchObject({ frame: 'ready' })
		expect(await next()).toMatchObject({ seq: 1 })
		const { cursor } = await publish('hidden')
		expect(await next()).toMatchObject({ frame: 'position', cursor })
		await publish('shown')
		expect(await next()).toMatchObject({ seq: 3 })
		await items.return()
	},
)

it('a reader with a pace is told its position, too', async () => {
	await using server = await startTestServer()
	await using planstream = createPlanstreamClient({ url: server.url })
	const [[, read] = []] = READERS
	const publish = (step_id: string) => planstream.events.publish({ plan_id: 'p', events: [output(step_id)] })
	await publish('shown')
	const items = read?.(server.url, { plan_id: 'p', step_id: 'shown', max_events_per_s: 100 })
	const next = async () => (await items?.next())?.value?.item
	expect([await next(), await next()]).toMatchObject([{ frame: 'ready' }, { seq: 1 }])
	const { cursor } = await publish('hidden')
	expect(await next()).toMatchObject({ frame: 'position', cursor })
	await items?.return()
})
