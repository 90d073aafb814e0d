import type { Role } from '../case.js'
import { planId } from '../events.js'

export type ServerName = 'planstream' | 'planstream-prose' | 'raw-sse' | 'raw-websocket' | 'stock-trpc' | 'socket-io' | 'fastapi'
export type Wire = 'sse' | 'websocket'

/** One way to deliver events of a plan to readers. */
export interface Subject {
	readonly name: string
	readonly role: Role
	readonly server: ServerName
	readonly wire: Wire
	/** Path that a reader of a plan connects to. */
	readonly path: (plan: number) => string
	/** Text to send once the WebSocket is open; null for none. */
	readonly greeting: ((plan: number) => string) | null
	/** Whether its readers offer permessage-deflate. @defaultValue false */
	readonly offersDeflate?: boolean
}

const ofPlan = (plan: number) => `/${planId(plan)}`

export const SUBJECTS: readonly Subject[] = [
	{ name: 'raw ws', role: 'floor', server: 'raw-websocket', wire: 'websocket', path: ofPlan, greeting: null },
	{
		name: 'planstream trpc',
		role: 'product',
		server: 'planstream',
		wire: 'websocket',
		path: () => '/trpc',
		greeting: subscription('plans.events'),
	},
	{
		name: 'planstream plain',
		role: 'product',
		server: 'planstream',
		wire: 'websocket',
		path: (plan) => `/api/v1/streaming/ws/bench?plan_id=${planId(plan)}`,
		greeting: null,
	},
	{
		name: 'stock trpc',
		role: 'peer',
		server: 'stock-trpc',
		wire: 'websocket',
		path: () => '/',
		greeting: subscription('events'),
	},
	{ name: 'raw sse', role: 'floor', server: 'raw-sse', wire: 'sse', path: ofPlan, greeting: null },
	{
		name: 'planstream sse',
		role: 'product',
		server: 'planstream',
		wire: 'sse',
		path: (plan) => `/api/v1/streaming/plans/${planId(plan)}/events`,
		greeting: null,
	},
	{
		name: 'planstream trpc',
		role: 'product',
		server: 'planstream',
		wire: 'sse',
		path: (plan) => `/trpc/plans.events?input=${input(plan)}`,
		greeting: null,
	},
	{
		name: 'stock trpc',
		role: 'peer',
		server: 'stock-trpc',
		wire: 'sse',
		path: (plan) => `/events?input=${input(plan)}`,
		greeting: null,
	},
]

function subscription(path: string): (plan: number) => string {
	return (plan) =>
		JSON.stringify({ id: 1, jsonrpc: '2.0', method: 'subscription', params: { path, input: { plan_id: planId(plan) } } })
}

function input(plan: number): string {
	return encodeURIComponent(JSON.stringify({ plan_id: planId(plan) }))
}
