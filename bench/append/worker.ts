import { APPENDERS, type Append, type AppenderName } from './appenders.js'

/** CPU time after which the JIT compiler is warm, whatever share of a core the process had. */
const WARM_UP_SECONDS = 0.7
const WARM_UP_SLICE_SECONDS = 0.1

/** The report of an append worker, sent once before the worker is ended. */
export interface AppendReport {
	readonly appended: number
	readonly seconds: number
	readonly cpuUs: number
}

const [name = '', directory = '', seconds = '', inFlight = ''] = process.argv.slice(2)
const append = await APPENDERS[name as AppenderName](directory)
process.on('disconnect', () => process.exit())

const warm = await warmUp(append, Math.min(WARM_UP_SECONDS, Number(seconds)))
const before = { cpu: process.cpuUsage(), time: performance.now() }
const end = await keepAppending(append, warm, Number(seconds))
const { user, system } = process.cpuUsage(before.cpu)
const report: AppendReport = { appended: end - warm, seconds: (performance.now() - before.time) / 1000, cpuUs: user + system }
process.send?.(report)

/** @returns the number of the next event */
async function warmUp(append: Append, cpuSeconds: number): Promise<number> {
	const start = process.cpuUsage()
	for (let next = 0; ; ) {
		next = await keepAppending(append, next, WARM_UP_SLICE_SECONDS)
		const { user, system } = process.cpuUsage(start)
		if (user + system >= cpuSeconds * 1e6) return next
	}
}

/** @returns the number of the next event */
async function keepAppending(append: Append, from: number, seconds: number): Promise<number> {
	let next = from
	const deadline = performance.now() + seconds * 1000
	const one = async (): Promise<void> => {
		while (performance.now() < deadline) await append(next++)
	}
	await Promise.all(Array.from({ length: Number(inFlight) }, one))
	return next
}
