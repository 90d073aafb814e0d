import type { Measurement } from '../case.js'
import type { Cores } from '../cores.js'
import { createScratchDirectory } from '../scratch-directory.js'
import { Audience, type Crowd } from './audience.js'
import { answer, readCpuUs, readRssKib, type Server, startChildServer } from './child-server.js'
import type { Drive } from './drive.js'
import type { Subject } from './subjects.js'

/** Events published without readers to warm the JIT compiler up; with 1,000 readers, a window has too few. */
const REHEARSED = 3000
/** CPU time of the server after which the rest is warm, too, whatever share of its core it had. */
const WARM_UP_SECONDS = 0.7
const WARM_UP_SLICE_SECONDS = 0.2

export interface FanoutOptions extends Crowd {
	readonly subject: Subject
	/** Further subscribers that never read; the data waiting for them shows in `rssKib`. */
	readonly stalled: number
	readonly seconds: number
	readonly cores: Cores
	readonly drive: Drive
}

/** Starts a server, connects everybody, warms up, and measures one window. */
export async function measureFanout(options: FanoutOptions): Promise<Measurement> {
	const { seconds, drive, stalled, subscribers } = options
	await using directory = await createScratchDirectory()
	await using server = startChildServer({ ...options, name: options.subject.server, directory: directory.path })
	const { port } = await answer(server, 'listening')
	server.send({ kind: 'rehearse', events: REHEARSED })
	await answer(server, 'rehearsed')
	using audience = await Audience.open(options.subject, port, options)
	await audience.stall(port, stalled)
	await waitForSubscribers(server, subscribers + stalled)
	const before = await warmUp(server, audience, drive, Math.min(WARM_UP_SECONDS, seconds))
	const memory = await readRssKib(server)
	audience.latency.reset()
	const start = performance.now()
	await drive(server, audience, seconds)
	const milliseconds = performance.now() - start
	const after = await readUsage(server, audience)
	const { latency } = audience
	return {
		published: after.completed - before.completed,
		delivered: after.delivered - before.delivered,
		bytes: after.bytes - before.bytes,
		seconds: milliseconds / 1000,
		cpuUs: after.cpuUs - before.cpuUs,
		loadCpuUs: after.loadCpuUs - before.loadCpuUs,
		latency: latency.count === 0 ? null : { p50: latency.percentile(50) / 1000, p99: latency.percentile(99) / 1000 },
		rssKib: (await readRssKib(server)) - memory,
		storedBytes: null,
	}
}

/** Readers that connect before the measured ones, so that the heap has already grown to the size that connecting needs. */
export const MEMORY_BASE = 1000

/** Measures the memory of an idle subscriber: `rssKib` is the growth for all of them, `delivered` their number. */
export async function measureMemory(options: Omit<FanoutOptions, 'drive' | 'stalled' | 'seconds'>): Promise<Measurement> {
	const { subscribers } = options
	await using directory = await createScratchDirectory()
	await using server = startChildServer({ ...options, name: options.subject.server, directory: directory.path })
	const { port } = await answer(server, 'listening')
	await beginPlan(server)
	using audience = await Audience.open(options.subject, port, { ...options, subscribers: MEMORY_BASE })
	await waitForSubscribers(server, MEMORY_BASE)
	const before = await readRssKib(server)
	const start = performance.now()
	await audience.join(port, subscribers)
	await waitForSubscribers(server, MEMORY_BASE + subscribers)
	const grown = (await readRssKib(server)) - before
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

/** Publishes the first event, since a watched plan has events. */
async function beginPlan(server: Server): Promise<void> {
	server.send({ kind: 'allow', total: 1, burst: 1 })
	server.send({ kind: 'drained' })
	await answer(server, 'drained')
}

async function waitForSubscribers(server: Server, subscribers: number): Promise<void> {
	server.send({ kind: 'attach', subscribers })
	await answer(server, 'attached')
}

/** @returns the usage at its end */
async function warmUp(server: Server, audience: Audience, drive: Drive, cpuSeconds: number): Promise<Usage> {
	const start = await readUsage(server, audience)
	for (;;) {
		await drive(server, audience, WARM_UP_SLICE_SECONDS)
		const now = await readUsage(server, audience)
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

async function readUsage(server: Server, audience: Audience): Promise<Usage> {
	const used = await readCpuUs(server)
	const { user, system } = process.cpuUsage()
	const { completed, delivered, bytes } = audience
	return { cpuUs: used, loadCpuUs: user + system, completed, delivered, bytes }
}
