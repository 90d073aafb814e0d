import { fileURLToPath } from 'node:url'
import type { Case } from '../case.js'
import { Child } from '../child.js'
import type { Cores } from '../cores.js'
import type { Options } from '../options.js'
import { LATENCY } from '../report/latency.js'
import { cpuUsEach, figures, perSecond, serverCpu } from '../report/rows.js'
import { GROUP, percent, SUBJECT, short, showSpread } from '../report/table.js'
import type { Scenario } from '../scenario.js'
import { createScratchDirectory } from '../scratch-directory.js'
import { PLANS_A_SECOND, type TaskName } from './tasks.js'
import type { TaskReport } from './worker.js'

const WORKER = fileURLToPath(new URL('./worker.js', import.meta.url))

/** Measures run control: whole plans, the list of many plans, and the latency from a command to its event. */
export function plansScenario(options: Options, cores: Cores): Scenario {
	const run = Math.ceil(PLANS_A_SECOND.run * options.seconds)
	const list = Math.ceil(PLANS_A_SECOND.list * options.seconds)
	return {
		title: `plans: ${run} plans of 10 steps (each event is one), pages of 100 out of ${list} plans, commands until their event; both cores`,
		cases: [
			taskCase('run', 'events', options, cores),
			taskCase('list', 'newest', options, cores),
			taskCase('list filtered', 'status, label and text', options, cores),
			taskCase('commands', 'pause, resume', options, cores),
		],
		columns: [
			GROUP,
			SUBJECT,
			{ title: 'a second', cell: (row) => showSpread(figures(row, perSecond), short) },
			{ title: 'CPU us each', cell: (row) => showSpread(figures(row, cpuUsEach), short) },
			...LATENCY,
			{ title: 'CPU', cell: (row) => percent(figures(row, serverCpu).median) },
		],
	}
}

function taskCase(task: TaskName, subject: string, { seconds }: Options, cores: Cores): Case {
	return {
		group: task,
		subject,
		role: 'product',
		measure: async () => {
			await using directory = await createScratchDirectory()
			const both = [cores.server, cores.load]
			await using worker = new Child<never, TaskReport>(
				[process.execPath, WORKER, task, directory.path, String(seconds)],
				both,
				cores,
			)
			const { asked, seen, ...usage } = await worker.report()
			if (asked !== seen) throw new Error(`${task}: only ${seen} of ${asked} results arrived.`)
			return { published: asked, delivered: seen, bytes: 0, ...usage, loadCpuUs: 0, rssKib: null, storedBytes: null }
		},
	}
}
