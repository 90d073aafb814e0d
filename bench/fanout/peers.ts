import { planId } from '../events.js'
import type { Subject } from './subjects.js'

/** Names the folder with the dependencies of the peers, which are installed by hand; see the README. */
const FOLDER = 'PLANSTREAM_BENCH_PEERS'

/** @throws Error if the folder is not set */
export function readPeersFolder(): string {
	const folder = process.env[FOLDER]
	if (folder === undefined) throw new Error(`${FOLDER} is not set. Set it to the folder with the installed peers.`)
	return folder
}

/** The peers that are measured if they are installed. */
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
