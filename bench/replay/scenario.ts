import type { Case } from '../case.js'
import type { Cores } from '../cores.js'
import { EVENT_BYTES } from '../events.js'
import { SUBJECTS } from '../fanout/subjects.js'
import type { Options } from '../options.js'
import { bytesEach, cpuUsEach, figures, loadCpu, perSecond, serverCpu, storedBytesEach } from '../report/rows.js'
import { GROUP, percent, SUBJECT, short, showSpread } from '../report/table.js'
import type { Scenario } from '../scenario.js'
import { measureReplay, readOverHistory, readOverStream } from './measure.js'

const EVENTS = 100_000

/** Measures how fast a late reader gets all events. */
export function replayScenario(options: Options, cores: Cores): Scenario {
	const events = Math.min(EVENTS, Math.round(EVENTS * options.seconds))
	const streams = SUBJECTS.filter(({ role }) => role === 'product').map(
		(subject): Case => ({
			group: 'replay',
			subject: `${subject.wire} ${subject.name}`,
			role: 'product',
			measure: () => measureReplay({ events, cores, read: readOverStream(subject) }),
		}),
	)
	const pages: Case = {
		group: 'pages',
		subject: 'history pages',
		role: 'product',
		measure: () => measureReplay({ events, cores, read: readOverHistory }),
	}
	return {
		title: `replay: a plan of ${events} ${EVENT_BYTES}-byte events over one connection (target: 100,000 events/s)`,
		cases: [...streams, pages],
		columns: [
			GROUP,
			SUBJECT,
			{ title: 'events/s', cell: (row) => showSpread(figures(row, perSecond), short) },
			{ title: 'CPU us/event', cell: (row) => showSpread(figures(row, cpuUsEach), short) },
			{ title: 'bytes', cell: (row) => figures(row, bytesEach).median.toFixed(0) },
			{ title: 'stored bytes', cell: (row) => figures(row, storedBytesEach).median.toFixed(0) },
			{ title: 'server CPU', cell: (row) => percent(figures(row, serverCpu).median) },
			{ title: 'load CPU', cell: (row) => percent(figures(row, loadCpu).median) },
		],
	}
}
