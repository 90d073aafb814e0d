import { fileURLToPath } from 'node:url'
import type { Case, Role } from '../case.js'
import { Child } from '../child.js'
import type { Cores } from '../cores.js'
import { EVENT_BYTES } from '../events.js'
import type { Options } from '../options.js'
import { cpuUsEach, figures, perSecond, ratio, serverCpu } from '../report/rows.js'
import { GROUP, percent, SUBJECT, short, showSpread, times } from '../report/table.js'
import type { Scenario } from '../scenario.js'
import { createScratchDirectory } from '../scratch-directory.js'
import type { AppenderName } from './appenders.js'
import type { AppendReport } from './worker.js'

const WORKER = fileURLToPath(new URL('./worker.js', import.meta.url))

type Subject = readonly [AppenderName, Role, string]

const SUBJECTS: readonly Subject[] = [
	['file', 'floor', 'file + fdatasync'],
	['log', 'product', 'planstream log (sqlite)'],
	['hub', 'product', 'planstream hub.publish'],
]

/** Appends in flight at any time. */
const IN_FLIGHT = [1, 16, 256] as const

/** Measures how fast events become durable. There are no readers, so the process under test gets both cores. */
export function appendScenario(options: Options, cores: Cores): Scenario {
	return {
		title: `append: durable appends of ${EVENT_BYTES}-byte events to one plan, 1, 16 and 256 in flight, both cores (target: with 256 at least 0.6x of the floor's rate)`,
		cases: IN_FLIGHT.flatMap((inFlight) => SUBJECTS.map((subject) => appendCase(subject, inFlight, options, cores))),
		columns: [
			GROUP,
			SUBJECT,
			{ title: 'events/s', cell: (row) => showSpread(figures(row, perSecond), short) },
			{ title: 'to floor', cell: (row) => showSpread(ratio(row, row.floor, perSecond), times) },
			{ title: 'CPU us/event', cell: (row) => showSpread(figures(row, cpuUsEach), short) },
			{ title: 'CPU', cell: (row) => percent(figures(row, serverCpu).median) },
		],
	}
}

function appendCase([appender, role, subject]: Subject, inFlight: number, { seconds }: Options, cores: Cores): Case {
	return {
		group: `append ${inFlight}`,
		subject,
		role,
		measure: async () => {
			await using directory = await createScratchDirectory()
			const args = [appender, directory.path, String(seconds), String(inFlight)]
			const both = [cores.server, cores.load]
			await using worker = new Child<never, AppendReport>([process.execPath, WORKER, ...args], both, cores)
			const { appended, ...usage } = await worker.report()
			const bytes = appended * EVENT_BYTES
			return {
				published: appended,
				delivered: appended,
				bytes,
				...usage,
				loadCpuUs: 0,
				latency: null,
				rssKib: null,
				storedBytes: null,
			}
		},
	}
}
