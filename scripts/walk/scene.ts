import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createPlanstreamClient } from '@planstream/client'
import { startServer } from '@planstream/server'
import { WebSocket } from 'ws'

const PLAN = 'walk'

/** A server with a SQLite store and a client that follows one running plan over WebSocket, both in this process. */
export interface Scene extends AsyncDisposable {
	/** Publishes one `step_progress` over REST and resolves when the loop of the client has it. */
	publish(event_id: string): Promise<void>
}

/** Starts the server, the plan and its reader, and sends a first event over the whole way. */
export async function startScene(): Promise<Scene> {
	const directory = await mkdtemp(path.join(tmpdir(), 'planstream-walk-'))
	const server = await startServer({ port: 0, store: { kind: 'sqlite', directory } })
	const { url } = server
	const planstream = createPlanstreamClient({ url, WebSocket, transport: 'websocket' })
	const post = async (events: readonly object[]): Promise<void> => {
		const answer = await fetch(`${url}/api/v1/streaming/plans/${PLAN}/events`, {
			method: 'POST',
			headers: { 'content-type': 'application/json' },
			body: JSON.stringify({ events }),
		})
		if (!answer.ok) throw new Error(`Publishing failed with status ${answer.status}: ${await answer.text()}`)
		await answer.text()
	}
	await post([
		{ event_id: 'plan', event_type: 'plan_started', data: { query: 'One event on its way', total_steps: 1 } },
		{ event_id: 'step', event_type: 'step_started', step_id: 'step_1', data: {} },
	])
	const events = planstream.plans.events({ plan_id: PLAN })
	const publish = async (event_id: string): Promise<void> => {
		const data = { progress: 0.5, message: 'half way' }
		const posted = post([{ event_id, event_type: 'step_progress', step_id: 'step_1', data }])
		for (;;) {
			const { value: event } = await events.next()
			if (event === undefined) throw new Error('The plan ended before its event arrived.')
			if (event.event_id === event_id) break
		}
		await posted
	}
	await publish('warm-up')
	return {
		publish,
		[Symbol.asyncDispose]: async () => {
			await planstream.close()
			await server.close()
			await rm(directory, { recursive: true, force: true })
		},
	}
}
