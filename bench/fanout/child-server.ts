import { fileURLToPath } from 'node:url'
import { Child } from '../child.js'
import type { Cores } from '../cores.js'
import type { Order, Report } from './messages.js'
import { peersFolder } from './peers.js'
import type { ServerName } from './subjects.js'

const SERVER = fileURLToPath(new URL('./server.js', import.meta.url))
/** The one server that is no program for Node. */
const FASTAPI = fileURLToPath(new URL('../../../bench/peers/fastapi_server.py', import.meta.url))

/** A server under test in a process of its own. */
export type Server = Child<Order, Report>

export interface ServerOptions {
	readonly name: ServerName
	readonly plans: number
	readonly cores: Cores
	/** Where it may keep files. */
	readonly directory: string
}

/** Starts it; its first report says where it listens. */
export function serverOf({ name, plans, cores, directory }: ServerOptions): Server {
	const [program, script] = name === 'fastapi' ? [`${peersFolder()}/venv/bin/python`, FASTAPI] : [process.execPath, SERVER]
	return new Child<Order, Report>([program, script, name, directory, String(plans)], [cores.server], cores)
}

/** CPU time the server has used so far. */
export async function cpuUs(server: Server): Promise<number> {
	server.send({ kind: 'usage' })
	return (await answer(server, 'usage')).cpuUs
}

/** Its memory after a collection. */
export async function rssKib(server: Server): Promise<number> {
	server.send({ kind: 'memory' })
	return (await answer(server, 'memory')).rssKib
}

/** The answer to an order that was sent in the same turn. */
export async function answer<Kind extends Report['kind']>(server: Server, kind: Kind): Promise<Extract<Report, { kind: Kind }>> {
	const report = await server.report()
	if (report.kind === kind) return report as Extract<Report, { kind: Kind }>
	throw new Error(`The server under test answered ${report.kind} where ${kind} was asked for.`)
}
