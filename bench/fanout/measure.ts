import { Child } from '../child.js'
import type { Cores } from '../cores.js'
import type { Measurement } from '../scenario.js'
import { scratchDirectory } from '../scratch-directory.js'
import { Audience } from './audience.js'
import type { Drive } from './drive.js'
import type { Order, Report } from './messages.js'
import type { Subject } from './subjects.js'

const SERVER = new URL('./server.js', import.meta.url)
/** CPU time of the server after which the compiler has seen everything, however much of its core it had. */
const WARM_UP_SECONDS = 0.7
const WARM_UP_SLICE_SECONDS = 0.2

export interface FanoutOptions {
	readonly subject: Subject
	readonly subscribers: number
	readonly seconds: number
	readonly cores: Cores
	readonly drive: Drive
}

/** Starts a server, connects everybody, warms up, and measures one window. */
export async function measureFanout({ subject, subscribers, seconds, cores, drive }: FanoutOptions): Promise<Measurement> {
	await using directory = await scratchDirectory()
	await using server = new Child<Order, Report>(SERVER, [subject.server, directory.path], [cores.server], cores)
	const { port } = await answer(server, 'listening')
	using audience = await Audience.open(subject, port, subscribers)
	server.send({ kind: 'attach', subscribers })
	await answer(server, 'attached')
	const before = await warmUp(server, audience, drive, Math.min(WARM_UP_SECONDS, seconds))
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
	}
}

/** @returns the usage at its end */
async function warmUp(server: Child<Order, Report>, audience: Audience, drive: Drive, cpuSeconds: number): Promise<Usage> {
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

async function usage(server: Child<Order, Report>, audience: Audience): Promise<Usage> {
	server.send({ kind: 'usage' })
	const { cpuUs } = await answer(server, 'usage')
	const { user, system } = process.cpuUsage()
	const { completed, delivered, bytes } = audience
	return { cpuUs, loadCpuUs: user + system, completed, delivered, bytes }
}

async function answer<Kind extends Report['kind']>(
	server: Child<Order, Report>,
	kind: Kind,
): Promise<Extract<Report, { kind: Kind }>> {
	const report = await server.report()
	if (report.kind === kind) return report as Extract<Report, { kind: Kind }>
	throw new Error(`The server under test answered ${report.kind} where ${kind} was asked for.`)
}
