import type { Measurement } from '../case.js'
import type { Cores } from '../cores.js'
import { scratchDirectory } from '../scratch-directory.js'
import { Audience, type Crowd } from './audience.js'
import { answer, cpuUs, rssKib, type Server, serverOf } from './child-server.js'
import type { Drive } from './drive.js'
import type { Subject } from './subjects.js'

/** Events to nobody after which the compiler has seen how one is published; to a thousand readers there are few in a window. */
const REHEARSED = 3000
/** CPU time of the server after which it has seen everything else, however much of its core it had. */
const WARM_UP_SECONDS = 0.7
const WARM_UP_SLICE_SECONDS = 0.2

export interface FanoutOptions extends Crowd {
	readonly subject: Subject
	/** Further subscribers that take nothing; what waits for them is in `rssKib`. */
	readonly stalled: number
	readonly seconds: number
	readonly cores: Cores
	readonly drive: Drive
}

/** Starts a server, connects everybody, warms up, and measures one window. */
export async function measureFanout(options: FanoutOptions): Promise<Measurement> {
	const { seconds, drive, stalled, subscribers } = options
	await using directory = await scratchDirectory()
	await using server = serverOf({ ...options, name: options.subject.server, directory: directory.path })
	const { port } = await answer(server, 'listening')
	server.send({ kind: 'rehearse', events: REHEARSED })
	await answer(server, 'rehearsed')
	using audience = await Audience.open(options.subject, port, options)
	await audience.stall(port, stalled)
	await attached(server, subscribers + stalled)
	const before = await warmUp(server, audience, drive, Math.min(WARM_UP_SECONDS, seconds))
	const memory = await rssKib(server)
	audience.latency.reset()
	const start = performance.now()
	await drive(server, audience, seconds)
	const milliseconds = performance.now() - start
	const after = await usage(server, audience)
	const { latency } = audience
	return {
		published: after.completed - before.completed,
		delivered: after.delivered - before.delivered,
		bytes: after.bytes - before.bytes,
		seconds: milliseconds / 1000,
		cpuUs: after.cpuUs - before.cpuUs,
		loadCpuUs: after.loadCpuUs - before.loadCpuUs,
		latency: latency.count === 0 ? null : { p50: latency.percentile(50) / 1000, p99: latency.percentile(99) / 1000 },
		rssKib: (await rssKib(server)) - memory,
		storedBytes: null,
	}
}

/** How many readers there are before the first of those whose memory is measured: by then the heap has the room it needs while readers come. */
export const MEMORY_BASE = 1000

/** What one more idle subscriber takes: `rssKib` is the growth for all of them, `delivered` their number. */
export async function measureMemory(options: Omit<FanoutOptions, 'drive' | 'stalled' | 'seconds'>): Promise<Measurement> {
	const { subscribers } = options
	await using directory = await scratchDirectory()
	await using server = serverOf({ ...options, name: options.subject.server, directory: directory.path })
	const { port } = await answer(server, 'listening')
	await beginPlan(server)
	using audience = await Audience.open(options.subject, port, { ...options, subscribers: MEMORY_BASE })
	await attached(server, MEMORY_BASE)
	const before = await rssKib(server)
	const start = performance.now()
	await audience.join(port, subscribers)
	await attached(server, MEMORY_BASE + subscribers)
	const grown = (await rssKib(server)) - before
	const seconds = (performance.now() - start) / 1000
	return {
		published: subscribers,
		delivered: subscribers,
		bytes: 0,
		seconds,
		cpuUs: 0,
		loadCpuUs: 0,
		latency: null,
		rssKib: grown,
		storedBytes: null,
	}
}

/** A plan that somebody watches has events. */
async function beginPlan(server: Server): Promise<void> {
	server.send({ kind: 'allow', total: 1, burst: 1 })
	server.send({ kind: 'drained' })
	await answer(server, 'drained')
}

async function attached(server: Server, subscribers: number): Promise<void> {
	server.send({ kind: 'attach', subscribers })
	await answer(server, 'attached')
}

/** @returns the usage at its end */
async function warmUp(server: Server, audience: Audience, drive: Drive, cpuSeconds: number): Promise<Usage> {
	const start = await usage(server, audience)
	for (;;) {
		await drive(server, audience, WARM_UP_SLICE_SECONDS)
		const now = await usage(server, audience)
		if (now.cpuUs - start.cpuUs >= cpuSeconds * 1e6) return now
	}
}

interface Usage {
	readonly cpuUs: number
	readonly loadCpuUs: number
	readonly completed: number
	readonly delivered: number
	readonly bytes: number
}

async function usage(server: Server, audience: Audience): Promise<Usage> {
	const used = await cpuUs(server)
	const { user, system } = process.cpuUsage()
	const { completed, delivered, bytes } = audience
	return { cpuUs: used, loadCpuUs: user + system, completed, delivered, bytes }
}
