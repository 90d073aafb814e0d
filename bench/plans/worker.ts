import { TASKS, type TaskName } from './tasks.js'

/** The report of a worker, sent once before the worker is ended. */
export interface TaskReport {
	readonly asked: number
	readonly seen: number
	readonly seconds: number
	readonly cpuUs: number
	readonly latency: { readonly p50: number; readonly p99: number }
}

const [name = '', directory = '', seconds = ''] = process.argv.slice(2)
const measure = await TASKS[name as TaskName](directory, Number(seconds))
process.on('disconnect', () => process.exit())

const before = { cpu: process.cpuUsage(), time: performance.now() }
const { asked, seen, latency } = await measure()
const { user, system } = process.cpuUsage(before.cpu)
const milliseconds = (part: number): number => latency.percentile(part) / 1000
const report: TaskReport = {
	asked,
	seen,
	seconds: (performance.now() - before.time) / 1000,
	cpuUs: user + system,
	latency: { p50: milliseconds(50), p99: milliseconds(99) },
}
process.send?.(report)
