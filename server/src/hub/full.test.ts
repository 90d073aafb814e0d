import { eventInput } from '@planstream/shared/schemas'
import { describe, expect, it } from 'vitest'
import { openLog } from '../log/open.js'
import { encodeSnapshot } from './fold-cache.js'
import { Hub } from './hub.js'
import { initialFold, summarise } from './plan-fold.js'
import { LOCAL_PRINCIPAL } from './principal.js'

const PLAN = { tenant: 'default', plan_id: 'p' }
const NOW = '2026-01-01T00:00:00.000Z'

/** Creates a hub with an external plan of this many events, all but the last few behind a snapshot. */
async function hubWith(seq: number): Promise<Hub> {
	const log = await openLog({ kind: 'memory' })
	const fold = initialFold(PLAN.plan_id, 'external')
	const at = { ...fold, state: { ...fold.state, seq } }
	const staged = { tenant: 'staged', plan_id: 'p' }
	await log.begin(
		staged,
		{ seq, fingerprint: '0'.repeat(16), base: encodeSnapshot({ fold: at, results: {} }), reason: 'trimmed' },
		seq,
	)
	await log.rename(staged, PLAN, summarise(at.state, NOW))
	return new Hub({ log, clock: () => Date.parse(NOW), onProblem: () => undefined })
}

describe('a plan with a million events', () => {
	it('rejects new events and still recognises stored ones', async () => {
		const hub = await hubWith(999_997)
		const publish = (...ids: string[]) => {
			const sent = ids.map((event_id) => ({ event_type: 'error', event_id, data: { code: 'x', message: event_id } }) as const)
			return hub.publish(LOCAL_PRINCIPAL, { plan_id: 'p', events: sent.map((event) => eventInput.parse(event)), sent })
		}
		const full = { code: 'plan_full', facts: { plan_id: 'p', limit: 1_000_000 } }
		expect((await publish('a', 'b')).results.map(({ seq }) => seq)).toEqual([999_998, 999_999])
		await expect(publish('c', 'd')).rejects.toMatchObject(full)
		expect((await publish('c')).results).toEqual([{ event_id: 'c', seq: 1_000_000, duplicate: false }])
		await expect(publish('d')).rejects.toMatchObject(full)
		expect((await publish('b', 'c')).results.map(({ duplicate }) => duplicate)).toEqual([true, true])
		expect(await hub.state(LOCAL_PRINCIPAL, 'p')).toMatchObject({ seq: 1_000_000, owner: 'external' })
	})
})
