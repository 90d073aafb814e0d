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

/** All subjects, the floors and peers first. */
const MEASURED = hasPeers ? [...SUBJECTS, ...PEERS] : SUBJECTS

const PACE = 1000
/** Few enough deliveries a second that each is a separate write, with and without compression. */
const UNHURRIED = 100_000
const FEW = 100
const BURST = 16
/** Plans that get an event in the same turn of the event loop. */
const MANY_AT_ONCE = 64
/** Stalled subscribers per active one. */
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

/** Measures the cost of a delivery while events are published one by one, as fast as possible. */
export function fanoutScenario(options: Options, cores: Cores): Scenario {
	return {
		title: `fanout: one plan, ${EVENT_BYTES}-byte events, one at a time, as fast as they go`,
		cases: options.subscribers.flatMap((subscribers) =>
			makeCases(options, cores, { subscribers, plans: 1 }, saturate(subscribers)),
		),
		columns: [...COST, ...USE],
	}
}

/** Measures the cost of a delivery with several events per turn of the event loop. */
export function burstsScenario(options: Options, cores: Cores): Scenario {
	const subscribers = findFewest(options)
	return {
		title: `bursts: one plan, ${EVENT_BYTES}-byte events, ${BURST} at a time`,
		cases: makeCases(options, cores, { subscribers, plans: 1 }, saturate(subscribers, BURST)),
		columns: [...COST, ...USE],
	}
}

/** Measures the cost of a delivery with one plan per subscriber. */
export function manyScenario(options: Options, cores: Cores): Scenario {
	const plans = findMost(options)
	return {
		title: `many: ${plans} plans with one subscriber each, ${EVENT_BYTES}-byte events, to ${MANY_AT_ONCE} plans at a time`,
		cases: makeCases(options, cores, { subscribers: plans, plans }, saturate(1, MANY_AT_ONCE)),
		columns: [...COST, ...USE],
	}
}

/** Measures latency at a rate that every subject can sustain. */
export function pacedScenario(options: Options, cores: Cores): Scenario {
	return {
		title: `paced: one plan, ${EVENT_BYTES}-byte events, ${PACE} a second`,
		cases: makeCases(options, cores, { subscribers: findFewest(options), plans: 1 }, pace(PACE)),
		columns: [...COST, ...LATENCY, ...USE],
	}
}

/** Measures the cost of stalled subscribers for the others. */
export function stalledScenario(options: Options, cores: Cores): Scenario {
	const subscribers = findMost(options)
	const product = SUBJECTS.filter(({ role }) => role === 'product')
	const crowds = [
		{ subject: 'none stalled', role: 'floor', stalled: 0 },
		{ subject: 'stalled', role: 'product', stalled: Math.ceil(subscribers * STALLED_SHARE) },
	] as const
	return {
		title: `stalled: one plan to ${subscribers} subscribers, with and without ${STALLED_SHARE * 100} % more that never read`,
		cases: product.flatMap((subject) =>
			crowds.map(({ stalled, ...shown }) => ({
				...makeCase(options, cores, { subject, subscribers, plans: 1, stalled, drive: saturate(subscribers) }),
				group: `${subject.wire} ${subject.name}`,
				...shown,
			})),
		),
		columns: [...COST.filter(({ title }) => title !== 'to stock'), { title: 'RSS MiB', cell: showRssMib }, ...USE],
	}
}

/** Measures the cost and the savings of compression, with events of natural words. */
export function deflateScenario(options: Options, cores: Cores): Scenario {
	const subscribers = findMost(options)
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
				return { ...makeCase(options, cores, { subject, subscribers, plans: 1, stalled: 0, drive }), group: of.name, ...shown }
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

/** Measures the memory of an idle subscriber. */
export function memoryScenario(options: Options, cores: Cores): Scenario {
	const subscribers = findMost(options)
	assertOpenFiles(MEMORY_BASE + subscribers)
	return {
		title: `memory: ${subscribers} idle subscribers of one plan`,
		cases: MEASURED.map((subject) => ({
			group: nameGroup(subject, subscribers),
			subject: subject.name,
			role: subject.role,
			measure: () => measureMemory({ subject, subscribers, plans: 1, cores }),
		})),
		columns: [GROUP, SUBJECT, { title: 'KiB each', cell: (row) => showSpread(figures(row, rssKibEach), short) }],
	}
}

function findFewest({ subscribers }: Options): number {
	return Math.min(FEW, Math.max(...subscribers))
}

function findMost({ subscribers }: Options): number {
	return Math.max(...subscribers)
}

function makeCases(options: Options, cores: Cores, crowd: Crowd, drive: Drive): Case[] {
	return MEASURED.map((subject) => makeCase(options, cores, { subject, ...crowd, stalled: 0, drive }))
}

interface CaseOptions extends Crowd {
	readonly subject: Subject
	readonly stalled: number
	readonly drive: Drive
}

function makeCase({ seconds }: Options, cores: Cores, { subject, ...rest }: CaseOptions): Case {
	assertOpenFiles(rest.subscribers + rest.stalled)
	return {
		group: nameGroup(subject, rest.subscribers),
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

function nameGroup({ wire }: Subject, subscribers: number): string {
	return `${wire === 'websocket' ? 'ws' : 'sse'} to ${subscribers}`
}
