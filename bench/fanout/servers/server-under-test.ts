import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A server of plans on 127.0.0.1. */
export interface ServerUnderTest {
	readonly port: number
	/** Those who will get whatever is published from now on. */
	subscribers(): number
	/** Publishes one event to everybody who watches the plan; resolves in a later turn of the event loop, when the next one may be published. */
	publish(seq: number, stamp: number, plan: number): Promise<unknown>
}

/** @param directory - where it may keep files */
export type StartServer = (directory: string) => Promise<ServerUnderTest>

/** @returns the port */
export async function listen(server: Server): Promise<number> {
	server.listen(0, '127.0.0.1')
	await once(server, 'listening')
	return (server.address() as AddressInfo).port
}

/** The sockets of each plan, for a server that does nothing but write to them; a reader's path is its plan. */
export class Sockets<Socket> {
	readonly #ofPlan = new Map<string, Set<Socket>>()
	size = 0

	add(path: string | undefined, socket: Socket): void {
		const sockets = this.of(path ?? '')
		sockets.add(socket)
		this.size++
	}

	of(path: string): Set<Socket> {
		const known = this.#ofPlan.get(path)
		if (known !== undefined) return known
		const sockets = new Set<Socket>()
		this.#ofPlan.set(path, sockets)
		return sockets
	}
}
