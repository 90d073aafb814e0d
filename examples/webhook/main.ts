// Notifies another system of every plan that completes or fails.
import { startServer } from '@planstream/server'

const target = process.env.WEBHOOK_URL ?? 'http://localhost:4000/hook'

async function post(body: object): Promise<void> {
	const headers = { 'content-type': 'application/json' }
	const answer = await fetch(target, { method: 'POST', headers, body: JSON.stringify(body), signal: AbortSignal.timeout(10_000) })
	if (!answer.ok) throw new Error(`${target} answered with ${answer.status}.`)
}

// A handler is called at most once for an event. To miss none over a crash, subscribe instead and keep the cursor.
const server = await startServer({
	port: Number(process.env.PORT ?? 3000),
	store: { kind: 'memory' },
	scripted: true,
	handlers: {
		plan_completed: ({ plan_id, data }) => post({ plan_id, status: 'completed', result: data.result }),
		plan_failed: ({ plan_id, data }) => post({ plan_id, status: 'failed', error: data.error }),
	},
})
console.log(`listening on ${server.url}`)
process.once('SIGTERM', () => void server.close())
