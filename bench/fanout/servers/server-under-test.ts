import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A server of one plan on 127.0.0.1. */
export interface ServerUnderTest {
	readonly port: number
	/** Those who will get whatever is published from now on. */
	subscribers(): number
	/** Publishes one event to everybody; resolves in a later turn of the event loop, when the next one may be published. */
	publish(seq: number, stamp: number): Promise<unknown>
}

/** @param directory - where it may keep files */
export type StartServer = (directory: string) => Promise<ServerUnderTest>

/** @returns the port */
export async function listen(server: Server): Promise<number> {
	server.listen(0, '127.0.0.1')
	await once(server, 'listening')
	return (server.address() as AddressInfo).port
}
