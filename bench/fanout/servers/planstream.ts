import { type Principal, startServer } from '@planstream/server'
import { contract } from '@planstream/shared/schemas'
import { makeSentEvent, planId, type SentEvent } from '../../events.js'
import { makeSentProse } from '../prose.js'
import type { ServerUnderTest, StartServer } from './server-under-test.js'

const PRINCIPAL: Principal = { tenant: 'default', actor: { type: 'user', id: 'bench' }, scopes: new Set(['events:publish']) }

/** Longer than a run, because the readers of the load generator do not answer pings. */
const PING_INTERVAL_MS = 600_000

/** Starts the product: every event is validated, folded and durable before it is delivered. */
export const planstream: StartServer = (directory) => start(directory, makeSentEvent, false)

/** Starts the product with compression, and with events of natural words. */
export const planstreamProse: StartServer = (directory) => start(directory, makeSentProse, true)

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
