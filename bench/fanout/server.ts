import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Order, Report } from './messages.js'
import { planstream, planstreamProse } from './servers/planstream.js'
import { startRawSse } from './servers/raw-sse.js'
import { startRawWebSocket } from './servers/raw-websocket.js'
import type { StartServer } from './servers/server-under-test.js'
import { startSocketIo } from './servers/socket-io.js'
import { startStockTrpc } from './servers/stock-trpc.js'
import type { ServerName } from './subjects.js'

const SERVERS: Readonly<Record<Exclude<ServerName, 'fastapi'>, StartServer>> = {
	planstream,
	'planstream-prose': planstreamProse,
	'raw-sse': startRawSse,
	'raw-websocket': startRawWebSocket,
	'socket-io': startSocketIo,
	'stock-trpc': startStockTrpc,
}

const [name = '', directory = '', plans = '1'] = process.argv.slice(2)
const server = await SERVERS[name as keyof typeof SERVERS](directory)
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
let published = 0
let allowed = 0
let burst = 1
let publishing = false

process.on('disconnect', () => process.exit())
process.on('message', (order: Order) => void obey(order))
report({ kind: 'listening', port: server.port })

async function obey(order: Order): Promise<void> {
	switch (order.kind) {
		case 'rehearse':
			for (let seq = 0; seq < order.events; seq++) await server.publish(seq, 0, Number(plans))
			report({ kind: 'rehearsed' })
			break
		case 'allow':
			allowed = order.total
			burst = order.burst
			if (!publishing) await publishAllowed()
			break
		case 'publish':
			await publish(order.stamp)
			break
		case 'drained':
			while (published < allowed || publishing) await delay(5)
			report({ kind: 'drained' })
			break
		case 'attach':
			while (server.subscribers() < order.subscribers) await delay(5)
			report({ kind: 'attached' })
			break
		case 'usage': {
			const { user, system } = process.cpuUsage()
			report({ kind: 'usage', cpuUs: user + system })
			break
		}
		case 'memory':
			collect()
			report({ kind: 'memory', rssKib: process.memoryUsage.rss() / 1024 })
			break
		default:
			order satisfies never
	}
}

async function publishAllowed(): Promise<void> {
	publishing = true
	while (published < allowed) await Promise.all(Array.from({ length: Math.min(burst, allowed - published) }, () => publish(0)))
	publishing = false
}

/** Publishes the next event, to the next plan in turn. */
function publish(stamp: number): Promise<unknown> {
	const seq = published++
	return server.publish(seq, stamp, seq % Number(plans))
}

function report(report: Report): void {
	process.send?.(report)
}
