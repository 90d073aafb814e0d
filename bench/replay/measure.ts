import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import type { Measurement } from '../case.js'
import type { Cores } from '../cores.js'
import { PLAN_ID } from '../events.js'
import { Audience } from '../fanout/audience.js'
import { answer, cpuUs, type Server, serverOf } from '../fanout/child-server.js'
import { Scanner } from '../fanout/scanner.js'
import type { Subject } from '../fanout/subjects.js'
import { scratchDirectory } from '../scratch-directory.js'

/** Reads all events of the plan and gives the bytes they came in. */
export type Read = (port: number, events: number) => Promise<number>

const PUBLISHED_AT_ONCE = 256

export interface ReplayOptions {
	readonly events: number
	readonly cores: Cores
	readonly read: Read
}

/** Publishes all events, then measures how one reader gets them; the first part of them is read once before, for the compiler. */
export async function measureReplay({ events, cores, read }: ReplayOptions): Promise<Measurement> {
	await using directory = await scratchDirectory()
	await using server = serverOf({ name: 'planstream', plans: 1, cores, directory: directory.path })
	const { port } = await answer(server, 'listening')
	await publish(server, events)
	await read(port, events)
	const before = { server: await cpuUs(server), load: process.cpuUsage() }
	const start = performance.now()
	const bytes = await read(port, events)
	const seconds = (performance.now() - start) / 1000
	const { user, system } = process.cpuUsage(before.load)
	return {
		published: events,
		delivered: events,
		bytes,
		seconds,
		cpuUs: (await cpuUs(server)) - before.server,
		loadCpuUs: user + system,
		latency: null,
		rssKib: null,
		storedBytes: await sizeOf(directory.path),
	}
}

async function publish(server: Server, total: number): Promise<void> {
	server.send({ kind: 'allow', total, burst: PUBLISHED_AT_ONCE })
	server.send({ kind: 'drained' })
	await answer(server, 'drained')
}

/** Over one of the streams, which is left when everything has come. */
export function overStream(subject: Subject): Read {
	return async (port, events) => {
		using audience = await Audience.open(subject, port, { subscribers: 1, plans: 1 })
		await audience.until(() => audience.completed === events)
		return audience.bytes
	}
}

/** Page by page, over one connection. */
export async function overHistory(port: number, events: number): Promise<number> {
	const address = `http://127.0.0.1:${port}/api/v1/streaming/plans/${PLAN_ID}/history`
	let bytes = 0
	let seen = 0
	for (let after = 'start'; seen < events; ) {
		const page = Buffer.from(await (await fetch(`${address}?after=${after}`)).arrayBuffer())
		const first = seen
		new Scanner().scan(page, (seq) => {
			if (seq !== seen) throw new Error(`A page has event ${seq} where ${seen} was due.`)
			seen++
		})
		if (seen === first) throw new Error(`The pages end after ${seen} of ${events} events.`)
		after = /"next_cursor":"([^"]+)"/.exec(page.toString('latin1', page.length - 512))?.[1] ?? ''
		bytes += page.length
	}
	return bytes
}

async function sizeOf(directory: string): Promise<number> {
	const names = await readdir(directory, { recursive: true })
	const sizes = await Promise.all(names.map(async (name) => stat(path.join(directory, name))))
	return sizes.reduce((sum, entry) => sum + (entry.isFile() ? entry.size : 0), 0)
}
