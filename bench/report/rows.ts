import type { Case, Measurement } from '../case.js'
import { type Spread, spread } from './statistics.js'

/** The measurements of one case, in the order of the rounds. */
export interface Series {
	readonly of: Case
	readonly rounds: readonly Measurement[]
}

/** One case with the floor and the peer of its group. */
export interface Row extends Series {
	readonly floor: Series | undefined
	readonly peer: Series | undefined
}

export function toRows(series: readonly Series[]): Row[] {
	return series.map((one) => {
		const group = series.filter(({ of }) => of.group === one.of.group)
		const inRole = (role: Case['role']) => group.find(({ of }) => of.role === role)
		return { ...one, floor: inRole('floor'), peer: inRole('peer') }
	})
}

/** One figure of a measurement. */
export type Figure = (measurement: Measurement) => number

export const perSecond: Figure = ({ delivered, seconds }) => delivered / seconds
export const usEach: Figure = ({ seconds, delivered }) => (seconds * 1e6) / delivered
export const cpuUsEach: Figure = ({ cpuUs, delivered }) => cpuUs / delivered
export const serverCpu: Figure = ({ cpuUs, seconds }) => cpuUs / 1e6 / seconds
export const loadCpu: Figure = ({ loadCpuUs, seconds }) => loadCpuUs / 1e6 / seconds
export const rssKibEach: Figure = ({ rssKib, delivered }) => (rssKib ?? Number.NaN) / delivered
export const rssMib: Figure = ({ rssKib }) => (rssKib ?? Number.NaN) / 1024
export const storedBytesEach: Figure = ({ storedBytes, delivered }) => (storedBytes ?? Number.NaN) / delivered
export const bytesEach: Figure = ({ bytes, delivered }) => bytes / delivered

export function figures({ rounds }: Series, figure: Figure): Spread {
	return spread(rounds.map(figure))
}

/** Compares a figure with another case's of the same round, so that other work on the machine affects both. */
export function ratio({ rounds }: Series, to: Series | undefined, figure: Figure): Spread | null {
	if (to === undefined) return null
	const ratios = rounds.flatMap((measurement, round) => {
		const other = to.rounds[round]
		return other === undefined ? [] : [figure(measurement) / figure(other)]
	})
	return spread(ratios)
}
