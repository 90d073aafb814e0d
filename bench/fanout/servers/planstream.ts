import { type Principal, startServer } from '@planstream/server'
import { contract } from '@planstream/shared/schemas'
import { planId, sentEvent } from '../../events.js'
import type { ServerUnderTest } from './server-under-test.js'

const PRINCIPAL: Principal = { tenant: 'default', actor: { type: 'user', id: 'bench' }, scopes: new Set(['events:publish']) }

/** Longer than a run: the readers of the load generator do not answer pings. */
const PING_INTERVAL_MS = 600_000

/** The product as it is served: every event is checked, folded and durable before it is delivered. */
export async function planstream(directory: string): Promise<ServerUnderTest> {
	const server = await startServer({ store: { kind: 'sqlite', directory }, port: 0, pingIntervalMs: PING_INTERVAL_MS })
	return {
		port: server.port,
		subscribers: () => server.report().watchers,
		publish: (seq, stamp, plan) => {
			const sent = [sentEvent(seq, stamp)]
			const { plan_id, events } = contract['events.publish'].input.parse({ plan_id: planId(plan), events: sent })
			return server.hub.publish(PRINCIPAL, { plan_id, events, sent })
		},
	}
}
