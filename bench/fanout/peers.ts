import { planId } from '../events.js'
import type { Subject } from './subjects.js'

/** The folder with what others' servers need, which is installed by hand; see the README beside. */
const FOLDER = 'PLANSTREAM_BENCH_PEERS'

/** @throws Error when there is none */
export function peersFolder(): string {
	const folder = process.env[FOLDER]
	if (folder === undefined) throw new Error(`${FOLDER} must name the folder in which the peers are installed.`)
	return folder
}

/** The servers of others that are measured beside the rest when they are installed. */
export const PEERS: readonly Subject[] = [
	{
		name: 'socket.io',
		role: 'peer',
		server: 'socket-io',
		wire: 'websocket',
		path: (plan) => `/socket.io/?EIO=4&transport=websocket&plan=${planId(plan)}`,
		greeting: () => '40',
	},
	{
		name: 'fastapi',
		role: 'peer',
		server: 'fastapi',
		wire: 'websocket',
		path: (plan) => `/ws/${planId(plan)}`,
		greeting: null,
	},
]

export const hasPeers = process.env[FOLDER] !== undefined
