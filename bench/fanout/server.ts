import { setTimeout as delay } from 'node:timers/promises'
import type { Order, Report } from './messages.js'
import { planstream } from './servers/planstream.js'
import { rawSse } from './servers/raw-sse.js'
import { rawWebSocket } from './servers/raw-websocket.js'
import type { StartServer } from './servers/server-under-test.js'
import { stockTrpc } from './servers/stock-trpc.js'
import type { ServerName } from './subjects.js'

const SERVERS: Readonly<Record<ServerName, StartServer>> = {
	planstream,
	'raw-sse': rawSse,
	'raw-websocket': rawWebSocket,
	'stock-trpc': stockTrpc,
}

const [name = '', directory = ''] = process.argv.slice(2)
const server = await SERVERS[name as ServerName](directory)
let published = 0
let allowed = 0
let publishing = false

process.on('disconnect', () => process.exit())
process.on('message', (order: Order) => void obey(order))
report({ kind: 'listening', port: server.port })

async function obey(order: Order): Promise<void> {
	switch (order.kind) {
		case 'allow':
			allowed = order.total
			if (!publishing) await publishAllowed()
			break
		case 'publish':
			await server.publish(published++, order.stamp)
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
		default:
			order satisfies never
	}
}

async function publishAllowed(): Promise<void> {
	publishing = true
	while (published < allowed) await server.publish(published++, 0)
	publishing = false
}

function report(report: Report): void {
	process.send?.(report)
}
