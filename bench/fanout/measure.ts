import { Child } from '../child.js'
import type { Cores } from '../cores.js'
import type { Measurement } from '../scenario.js'
import { scratchDirectory } from '../scratch-directory.js'
import { Audience, type Crowd } from './audience.js'
import type { Drive } from './drive.js'
import type { Order, Report } from './messages.js'
import type { Subject } from './subjects.js'

const SERVER = new URL('./server.js', import.meta.url)
/** CPU time of the server after which the compiler has seen everything, however much of its core it had. */
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
	await using server = serverOf(options, directory.path)
	const { port } = await answer(server, 'listening')
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
	}
}

/** How many readers there are before the first of those whose memory is measured, so that nothing is made for the first time. */
const BASE = 200

/** What one more idle subscriber takes: `rssKib` is the growth for all of them, `delivered` their number. */
export async function measureMemory(options: Omit<FanoutOptions, 'drive' | 'stalled' | 'seconds'>): Promise<Measurement> {
	const { subscribers } = options
	await using directory = await scratchDirectory()
	await using server = serverOf(options, directory.path)
	const { port } = await answer(server, 'listening')
	using audience = await Audience.open(options.subject, port, { ...options, subscribers: BASE })
	await attached(server, BASE)
	const before = await rssKib(server)
	const start = performance.now()
	await audience.join(port, subscribers)
	await attached(server, BASE + subscribers)
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
	}
}

type Server = Child<Order, Report>

function serverOf({ subject, plans, cores }: Pick<FanoutOptions, 'subject' | 'plans' | 'cores'>, directory: string): Server {
	return new Child<Order, Report>(SERVER, [subject.server, directory, String(plans)], [cores.server], cores)
}

async function attached(server: Server, subscribers: number): Promise<void> {
	server.send({ kind: 'attach', subscribers })
	await answer(server, 'attached')
}

async function rssKib(server: Server): Promise<number> {
	server.send({ kind: 'memory' })
	return (await answer(server, 'memory')).rssKib
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
	server.send({ kind: 'usage' })
	const { cpuUs } = await answer(server, 'usage')
	const { user, system } = process.cpuUsage()
	const { completed, delivered, bytes } = audience
	return { cpuUs, loadCpuUs: user + system, completed, delivered, bytes }
}

async function answer<Kind extends Report['kind']>(server: Server, kind: Kind): Promise<Extract<Report, { kind: Kind }>> {
	const report = await server.report()
	if (report.kind === kind) return report as Extract<Report, { kind: Kind }>
	throw new Error(`The server under test answered ${report.kind} where ${kind} was asked for.`)
}
