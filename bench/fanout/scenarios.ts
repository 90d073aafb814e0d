import type { Cores } from '../cores.js'
import { EVENT_BYTES } from '../events.js'
import type { Options } from '../options.js'
import { LATENCY } from '../report/latency.js'
import { bytesEach, cpuUsEach, figures, loadCpu, perSecond, ratio, serverCpu } from '../report/rows.js'
import { type Column, GROUP, percent, SUBJECT, short, showSpread, times } from '../report/table.js'
import type { Case, Scenario } from '../scenario.js'
import { type Drive, pace, saturate } from './drive.js'
import { measureFanout } from './measure.js'
import { SUBJECTS } from './subjects.js'

const PACE = 1000
const PACED_SUBSCRIBERS = 100

const COST: readonly Column[] = [
	GROUP,
	SUBJECT,
	{ title: 'CPU us/delivery', cell: (row) => showSpread(figures(row, cpuUsEach), short) },
	{ title: 'to floor', cell: (row) => showSpread(ratio(row, row.floor, cpuUsEach), times) },
	{ title: 'to stock', cell: (row) => showSpread(ratio(row, row.peer, cpuUsEach), times) },
	{ title: 'deliveries/s', cell: (row) => showSpread(figures(row, perSecond), short) },
]
const USE: readonly Column[] = [
	{ title: 'bytes', cell: (row) => figures(row, bytesEach).median.toFixed(0) },
	{ title: 'server CPU', cell: (row) => percent(figures(row, serverCpu).median) },
	{ title: 'load CPU', cell: (row) => percent(figures(row, loadCpu).median) },
]

/** What a delivery costs when events come as fast as they can be published one by one. */
export function fanoutScenario(options: Options, cores: Cores): Scenario {
	return {
		title: `fanout: one plan, ${EVENT_BYTES}-byte events, one at a time, as fast as they go`,
		cases: options.subscribers.flatMap((subscribers) => cases(options, cores, subscribers, saturate(subscribers))),
		columns: [...COST, ...USE],
	}
}

/** How soon events arrive when they come at a rate that all could take. */
export function pacedScenario(options: Options, cores: Cores): Scenario {
	const subscribers = Math.min(PACED_SUBSCRIBERS, Math.max(...options.subscribers))
	return {
		title: `paced: one plan, ${EVENT_BYTES}-byte events, ${PACE} a second`,
		cases: cases(options, cores, subscribers, pace(PACE)),
		columns: [...COST, ...LATENCY, ...USE],
	}
}

function cases({ seconds }: Options, cores: Cores, subscribers: number, drive: Drive): Case[] {
	return SUBJECTS.map((subject) => ({
		group: `${subject.wire === 'websocket' ? 'ws' : 'sse'} to ${subscribers}`,
		subject: subject.name,
		role: subject.role,
		measure: async () => {
			const measured = await measureFanout({ subject, subscribers, seconds, cores, drive })
			if (measured.delivered === measured.published * subscribers) return measured
			throw new Error(
				`${subject.name} delivered ${measured.delivered} times; ${measured.published} events to ${subscribers} readers were published.`,
			)
		},
	}))
}
