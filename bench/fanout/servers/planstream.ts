import { type Principal, startServer } from '@planstream/server'
import { contract } from '@planstream/shared/schemas'
import { planId, type SentEvent, sentEvent } from '../../events.js'
import { sentProse } from '../prose.js'
import type { ServerUnderTest, StartServer } from './server-under-test.js'

const PRINCIPAL: Principal = { tenant: 'default', actor: { type: 'user', id: 'bench' }, scopes: new Set(['events:publish']) }

/** Longer than a run: the readers of the load generator do not answer pings. */
const PING_INTERVAL_MS = 600_000

/** The product as it is served: every event is checked, folded and durable before it is delivered. */
export const planstream: StartServer = (directory) => start(directory, sentEvent, false)

/** The same for who may have its streams compressed, with events that say something. */
export const planstreamProse: StartServer = (directory) => start(directory, sentProse, true)

type MakeEvent = (seq: number, stamp: number) => SentEvent

async function start(directory: string, makeEvent: MakeEvent, compression: boolean): Promise<ServerUnderTest> {
	const store = { kind: 'sqlite', directory } as const
	const server = await startServer({ store, port: 0, pingIntervalMs: PING_INTERVAL_MS, compression })
	return {
		port: server.port,
		subscribers: () => server.report().watchers,
		publish: (seq, stamp, plan) => {
			const sent = [makeEvent(seq, stamp)]
			const { plan_id, events } = contract['events.publish'].input.parse({ plan_id: planId(plan), events: sent })
			return server.hub.publish(PRINCIPAL, { plan_id, events, sent })
		},
	}
}
