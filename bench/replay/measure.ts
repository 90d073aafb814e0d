import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import type { Measurement } from '../case.js'
import type { Cores } from '../cores.js'
import { PLAN_ID } from '../events.js'
import { Audience } from '../fanout/audience.js'
import { answer, readCpuUs, type Server, startChildServer } from '../fanout/child-server.js'
import { Scanner } from '../fanout/scanner.js'
import type { Subject } from '../fanout/subjects.js'
import { createScratchDirectory } from '../scratch-directory.js'

/** Reads all events of the plan and returns the number of bytes. */
export type Read = (port: number, events: number) => Promise<number>

const PUBLISHED_AT_ONCE = 256

export interface ReplayOptions {
	readonly events: number
	readonly cores: Cores
	readonly read: Read
}

/** Publishes all events, then measures one reader. A part of them is read once before, to warm the JIT compiler up. */
export async function measureReplay({ events, cores, read }: ReplayOptions): Promise<Measurement> {
	await using directory = await createScratchDirectory()
	await using server = startChildServer({ name: 'planstream', plans: 1, cores, directory: directory.path })
	const { port } = await answer(server, 'listening')
	await publish(server, events)
	await read(port, events)
	const before = { server: await readCpuUs(server), load: process.cpuUsage() }
	const start = performance.now()
	const bytes = await read(port, events)
	const seconds = (performance.now() - start) / 1000
	const { user, system } = process.cpuUsage(before.load)
	return {
		published: events,
		delivered: events,
		bytes,
		seconds,
		cpuUs: (await readCpuUs(server)) - before.server,
		loadCpuUs: user + system,
		latency: null,
		rssKib: null,
		storedBytes: await measureSize(directory.path),
	}
}

async function publish(server: Server, total: number): Promise<void> {
	server.send({ kind: 'allow', total, burst: PUBLISHED_AT_ONCE })
	server.send({ kind: 'drained' })
	await answer(server, 'drained')
}

/** Reads over a stream, which is left when all events have arrived. */
export function readOverStream(subject: Subject): Read {
	return async (port, events) => {
		using audience = await Audience.open(subject, port, { subscribers: 1, plans: 1 })
		await audience.until(() => audience.completed === events)
		return audience.bytes
	}
}

/** Reads page by page over one connection. */
export async function readOverHistory(port: number, events: number): Promise<number> {
	const address = `http://127.0.0.1:${port}/api/v1/streaming/plans/${PLAN_ID}/history`
	let bytes = 0
	let seen = 0
	for (let after = 'start'; seen < events; ) {
		const page = Buffer.from(await (await fetch(`${address}?after=${after}`)).arrayBuffer())
		const first = seen
		new Scanner().scan(page, (seq) => {
			if (seq !== seen) throw new Error(`A page has event ${seq}, expected ${seen}.`)
			seen++
		})
		if (seen === first) throw new Error(`The pages end after ${seen} of ${events} events.`)
		after = /"next_cursor":"([^"]+)"/.exec(page.toString('latin1', page.length - 512))?.[1] ?? ''
		bytes += page.length
	}
	return bytes
}

async function measureSize(directory: string): Promise<number> {
	const names = await readdir(directory, { recursive: true })
	const sizes = await Promise.all(names.map(async (name) => stat(path.join(directory, name))))
	return sizes.reduce((sum, entry) => sum + (entry.isFile() ? entry.size : 0), 0)
}
