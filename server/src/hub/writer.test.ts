import type { EventInput } from '@planstream/shared'
import { eventInput } from '@planstream/shared/schemas'
import { describe, expect, it, vi } from 'vitest'
import { openLog } from '../log/open.js'
import { Hub } from './hub.js'
import { LOCAL_PRINCIPAL } from './principal.js'

const PLAN = { tenant: 'default', plan_id: 'p' }

/** Opens two hubs on one log and counts its reads. */
async function twoHubs() {
	const log = await openLog({ kind: 'memory' })
	const hubOn = () => new Hub({ log, clock: Date.now, onProblem: (message) => expect.unreachable(message) })
	return { log, hub: hubOn(), other: hubOn(), read: vi.spyOn(log, 'read') }
}

async function publish(hub: Hub, ...sent: EventInput[]): Promise<readonly number[]> {
	const events = sent.map((event) => eventInput.parse(event))
	const { results } = await hub.publish(LOCAL_PRINCIPAL, { plan_id: PLAN.plan_id, events, sent })
	return results.map(({ seq }) => seq)
}

const output: EventInput = { event_type: 'step_output', step_id: 's', data: { channel: 'text', delta: 'x', index: 0 } }
const failed: EventInput = { event_type: 'plan_failed', data: { error: { code: 'x', message: 'm', retryable: false } } }
const resumed: EventInput = { event_type: 'plan_resumed', data: { reason: 'manual' } }

describe('Writer', () => {
	it('continues after its own append without reading it again', async () => {
		const { hub, read } = await twoHubs()
		await publish(hub, output)
		read.mockClear()
		expect(await publish(hub, output)).toEqual([2])
		expect(await publish(hub, failed)).toEqual([3])
		expect(read).not.toHaveBeenCalled()
		expect((await hub.fold(PLAN))?.state).toMatchObject({ seq: 3, status: 'failed' })
	})

	it('rejects nothing from memory when others may have changed the plan', async () => {
		const { hub, other } = await twoHubs()
		await publish(hub, failed)
		await publish(other, resumed)
		expect(await publish(hub, output)).toEqual([3])
		await expect(publish(hub, failed, output)).rejects.toMatchObject({ code: 'illegal_transition' })
	})

	it('recreates a removed plan, with its place in the list', async () => {
		const { hub, other, log } = await twoHubs()
		const listed = async () => (await log.list({ tenant: PLAN.tenant, limit: 9 })).plans.map(({ plan_id }) => plan_id)
		await publish(hub, output)
		await hub.remove(PLAN)
		expect(await listed()).toEqual([])
		expect(await publish(hub, output)).toEqual([1])
		expect(await listed()).toEqual(['p'])
		await publish(hub, failed)
		await other.remove(PLAN)
		expect(await publish(hub, output)).toEqual([1])
		expect(await listed()).toEqual(['p'])
	})

	it('recreates a plan that another hub removed, with its place in the list', async () => {
		const { hub, other, log } = await twoHubs()
		await publish(hub, output)
		await other.remove(PLAN)
		expect(await publish(hub, output)).toEqual([1])
		const { plans } = await log.list({ tenant: PLAN.tenant, limit: 9 })
		expect(plans.map(({ plan_id }) => plan_id)).toEqual(['p'])
	})
})
