import { fileURLToPath } from 'node:url'
import { Child } from '../child.js'
import type { Cores } from '../cores.js'
import type { Order, Report } from './messages.js'
import { readPeersFolder } from './peers.js'
import type { ServerName } from './subjects.js'

const SERVER = fileURLToPath(new URL('./server.js', import.meta.url))
/** The one server that does not run on Node. */
const FASTAPI = fileURLToPath(new URL('../../../bench/peers/fastapi_server.py', import.meta.url))

/** A server under test in a process of its own. */
export type Server = Child<Order, Report>

export interface ServerOptions {
	readonly name: ServerName
	readonly plans: number
	readonly cores: Cores
	/** Directory for its files. */
	readonly directory: string
}

/** Starts a server; its first report has its port. */
export function startChildServer({ name, plans, cores, directory }: ServerOptions): Server {
	const [program, script] = name === 'fastapi' ? [`${readPeersFolder()}/venv/bin/python`, FASTAPI] : [process.execPath, SERVER]
	return new Child<Order, Report>([program, script, name, directory, String(plans)], [cores.server], cores)
}

/** Reads the CPU time of the server so far. */
export async function readCpuUs(server: Server): Promise<number> {
	server.send({ kind: 'usage' })
	return (await answer(server, 'usage')).cpuUs
}

/** Reads the memory of the server after a garbage collection. */
export async function readRssKib(server: Server): Promise<number> {
	server.send({ kind: 'memory' })
	return (await answer(server, 'memory')).rssKib
}

/** Waits for the answer to an order that was sent in the same turn. */
export async function answer<Kind extends Report['kind']>(server: Server, kind: Kind): Promise<Extract<Report, { kind: Kind }>> {
	const report = await server.report()
	if (report.kind === kind) return report as Extract<Report, { kind: Kind }>
	throw new Error(`The server under test answered ${report.kind}, expected ${kind}.`)
}
