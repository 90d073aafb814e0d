import type { Case } from '../case.js'
import type { Cores } from '../cores.js'
import { EVENT_BYTES } from '../events.js'
import { assertOpenFiles } from '../open-files.js'
import type { Options } from '../options.js'
import { LATENCY } from '../report/latency.js'
import { bytesEach, cpuUsEach, figures, loadCpu, perSecond, ratio, rssKibEach, rssMib, serverCpu } from '../report/rows.js'
import { type Column, GROUP, percent, SUBJECT, short, showSpread, times } from '../report/table.js'
import type { Scenario } from '../scenario.js'
import type { Crowd } from './audience.js'
import { type Drive, pace, saturate } from './drive.js'
import { MEMORY_BASE, measureFanout, measureMemory } from './measure.js'
import { hasPeers, PEERS } from './peers.js'
import { SUBJECTS, type Subject } from './subjects.js'

/** Everybody who is measured, those who are compared to first. */
const MEASURED = hasPeers ? [...SUBJECTS, ...PEERS] : SUBJECTS

const PACE = 1000
/** So few deliveries a second that each is a write of its own, as many with compression as without. */
const UNHURRIED = 100_000
const FEW = 100
const BURST = 16
/** Plans that get an event in one turn of the event loop. */
const MANY_AT_ONCE = 64
/** How many of those who stall there are to one who does not. */
const STALLED_SHARE = 0.1

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
		cases: options.subscribers.flatMap((subscribers) => cases(options, cores, { subscribers, plans: 1 }, saturate(subscribers))),
		columns: [...COST, ...USE],
	}
}

/** The same when several events come in one turn of the event loop. */
export function burstsScenario(options: Options, cores: Cores): Scenario {
	const subscribers = fewOf(options)
	return {
		title: `bursts: one plan, ${EVENT_BYTES}-byte events, ${BURST} at a time`,
		cases: cases(options, cores, { subscribers, plans: 1 }, saturate(subscribers, BURST)),
		columns: [...COST, ...USE],
	}
}

/** The same when every subscriber has a plan of its own. */
export function manyScenario(options: Options, cores: Cores): Scenario {
	const plans = mostOf(options)
	return {
		title: `many: ${plans} plans with one subscriber each, ${EVENT_BYTES}-byte events, to ${MANY_AT_ONCE} plans at a time`,
		cases: cases(options, cores, { subscribers: plans, plans }, saturate(1, MANY_AT_ONCE)),
		columns: [...COST, ...USE],
	}
}

/** How soon events arrive when they come at a rate that all could take. */
export function pacedScenario(options: Options, cores: Cores): Scenario {
	return {
		title: `paced: one plan, ${EVENT_BYTES}-byte events, ${PACE} a second`,
		cases: cases(options, cores, { subscribers: fewOf(options), plans: 1 }, pace(PACE)),
		columns: [...COST, ...LATENCY, ...USE],
	}
}

/** What the subscribers who take nothing cost the others. */
export function stalledScenario(options: Options, cores: Cores): Scenario {
	const subscribers = mostOf(options)
	const product = SUBJECTS.filter(({ role }) => role === 'product')
	const crowds = [
		{ subject: 'none stalled', role: 'floor', stalled: 0 },
		{ subject: 'stalled', role: 'product', stalled: Math.ceil(subscribers * STALLED_SHARE) },
	] as const
	return {
		title: `stalled: one plan to ${subscribers} subscribers, with and without ${STALLED_SHARE * 100} % more who take nothing`,
		cases: product.flatMap((subject) =>
			crowds.map(({ stalled, ...shown }) => ({
				...caseOf(options, cores, { subject, subscribers, plans: 1, stalled, drive: saturate(subscribers) }),
				group: `${subject.wire} ${subject.name}`,
				...shown,
			})),
		),
		columns: [...COST.filter(({ title }) => title !== 'to stock'), { title: 'RSS MiB', cell: showRssMib }, ...USE],
	}
}

/** What compression costs and saves, with events that say something. */
export function deflateScenario(options: Options, cores: Cores): Scenario {
	const subscribers = mostOf(options)
	const eventsPerSecond = Math.min(PACE, Math.round(UNHURRIED / subscribers))
	const product = SUBJECTS.filter(({ role, wire }) => role === 'product' && wire === 'websocket')
	const ways = [
		{ subject: 'as it is', role: 'floor', offersDeflate: false },
		{ subject: 'deflated', role: 'product', offersDeflate: true },
	] as const
	return {
		title: `deflate: one plan to ${subscribers} subscribers, ${EVENT_BYTES}-byte events of words, ${eventsPerSecond} a second, with and without permessage-deflate`,
		cases: product.flatMap((of) =>
			ways.map(({ offersDeflate, ...shown }) => {
				const subject: Subject = { ...of, server: 'planstream-prose', offersDeflate }
				const drive = pace(eventsPerSecond)
				return { ...caseOf(options, cores, { subject, subscribers, plans: 1, stalled: 0, drive }), group: of.name, ...shown }
			}),
		),
		columns: [
			...COST.filter(({ title }) => title !== 'to stock'),
			...USE,
			{ title: 'fewer bytes', cell: (row) => showSpread(ratio(row.floor ?? row, row, bytesEach), times) },
		],
	}
}

const showRssMib: Column['cell'] = (row) => showSpread(figures(row, rssMib), short)

/** What an idle subscriber takes of the memory. */
export function memoryScenario(options: Options, cores: Cores): Scenario {
	const subscribers = mostOf(options)
	assertOpenFiles(MEMORY_BASE + subscribers)
	return {
		title: `memory: ${subscribers} idle subscribers of one plan`,
		cases: MEASURED.map((subject) => ({
			group: groupOf(subject, subscribers),
			subject: subject.name,
			role: subject.role,
			measure: () => measureMemory({ subject, subscribers, plans: 1, cores }),
		})),
		columns: [GROUP, SUBJECT, { title: 'KiB each', cell: (row) => showSpread(figures(row, rssKibEach), short) }],
	}
}

function fewOf({ subscribers }: Options): number {
	return Math.min(FEW, Math.max(...subscribers))
}

function mostOf({ subscribers }: Options): number {
	return Math.max(...subscribers)
}

function cases(options: Options, cores: Cores, crowd: Crowd, drive: Drive): Case[] {
	return MEASURED.map((subject) => caseOf(options, cores, { subject, ...crowd, stalled: 0, drive }))
}

interface CaseOptions extends Crowd {
	readonly subject: Subject
	readonly stalled: number
	readonly drive: Drive
}

function caseOf({ seconds }: Options, cores: Cores, { subject, ...rest }: CaseOptions): Case {
	assertOpenFiles(rest.subscribers + rest.stalled)
	return {
		group: groupOf(subject, rest.subscribers),
		subject: subject.name,
		role: subject.role,
		measure: async () => {
			const measured = await measureFanout({ subject, seconds, cores, ...rest })
			if (measured.delivered === (measured.published * rest.subscribers) / rest.plans) return measured
			throw new Error(
				`${subject.name} delivered ${measured.delivered} times; ${measured.published} events to ${rest.subscribers} readers were published.`,
			)
		},
	}
}

function groupOf({ wire }: Subject, subscribers: number): string {
	return `${wire === 'websocket' ? 'ws' : 'sse'} to ${subscribers}`
}
