import { PLAN_ID } from '../events.js'
import type { Role } from '../scenario.js'

export type ServerName = 'planstream' | 'raw-sse' | 'raw-websocket' | 'stock-trpc'
export type Wire = 'sse' | 'websocket'

/** A way in which a plan's events reach their readers. */
export interface Subject {
	readonly name: string
	readonly role: Role
	readonly server: ServerName
	readonly wire: Wire
	readonly path: string
	/** What a reader says once its WebSocket is open; null: nothing. */
	readonly greeting: string | null
}

const input = { plan_id: PLAN_ID }

export const SUBJECTS: readonly Subject[] = [
	{ name: 'raw ws', role: 'floor', server: 'raw-websocket', wire: 'websocket', path: '/', greeting: null },
	{
		name: 'planstream trpc',
		role: 'product',
		server: 'planstream',
		wire: 'websocket',
		path: '/trpc',
		greeting: subscription('plans.events', input),
	},
	{ name: 'stock trpc', role: 'peer', server: 'stock-trpc', wire: 'websocket', path: '/', greeting: subscription('events') },
	{ name: 'raw sse', role: 'floor', server: 'raw-sse', wire: 'sse', path: '/', greeting: null },
	{
		name: 'planstream sse',
		role: 'product',
		server: 'planstream',
		wire: 'sse',
		path: `/api/v1/streaming/plans/${PLAN_ID}/events`,
		greeting: null,
	},
	{
		name: 'planstream trpc',
		role: 'product',
		server: 'planstream',
		wire: 'sse',
		path: `/trpc/plans.events?input=${encodeURIComponent(JSON.stringify(input))}`,
		greeting: null,
	},
	{ name: 'stock trpc', role: 'peer', server: 'stock-trpc', wire: 'sse', path: '/events', greeting: null },
]

function subscription(path: string, input?: unknown): string {
	return JSON.stringify({ id: 1, jsonrpc: '2.0', method: 'subscription', params: { path, input } })
}
