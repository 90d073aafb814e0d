import type { Case } from '../case.js'
import type { ScenarioName } from '../options.js'
import { figures, type Row, ratio } from '../report/rows.js'
import type { Gate } from './gates.js'

/** The rows of one scenario. */
export interface Measured {
	readonly scenario: ScenarioName
	readonly rows: readonly Row[]
}

/** The verdict on one of the product's cases at one gate. */
export interface Verdict {
	readonly gate: Gate
	readonly subject: string
	/** The median of the rounds. */
	readonly value: number
	readonly isMissed: boolean
}

/**
 * Checks every case of the product against the gates of its group.
 *
 * @throws Error for a gate without a measured case, or without a divisor
 */
export function judge(measured: readonly Measured[], gates: readonly Gate[]): Verdict[] {
	return gates.flatMap((gate) => {
		const all = measured.filter(({ scenario }) => scenario === gate.scenario).flatMap(({ rows }) => rows)
		const rows = all.filter(({ of }) => of.role === 'product' && of.group === gate.group)
		if (rows.length === 0) throw new Error(`The gate of ${gate.scenario}, ${gate.group} has no measurement.`)
		return rows.map((row) => {
			const value = readValue(gate, row)
			// NaN does not pass.
			return { gate, subject: row.of.subject, value, isMissed: !(value <= gate.most) }
		})
	})
}

function readValue({ scenario, figure, to }: Gate, row: Row): number {
	if (to === null) return figures(row, figure).median
	const compared = ratio(row, to === 'floor' ? row.floor : row.peer, figure)
	if (compared !== null) return compared.median
	throw new Error(`${scenario}, ${row.of.group} has no ${to} to compare ${row.of.subject} with.`)
}

/** Takes the second measurement where the first one missed: other work on the machine spoils one, but rarely two. */
export function settle(first: readonly Verdict[], again: readonly Verdict[]): Verdict[] {
	const secondOf = ({ gate, subject }: Verdict) => again.find((other) => other.gate === gate && other.subject === subject)
	return first.map((verdict) => (verdict.isMissed ? (secondOf(verdict) ?? verdict) : verdict))
}

/** Selects the cases of a scenario that its gates need. Only the first of several peers is installed everywhere. */
export function selectNeeded(scenario: ScenarioName, cases: readonly Case[], gates: readonly Gate[]): Case[] {
	return cases.filter(({ group, role, subject }) => {
		const own = gates.filter((gate) => gate.scenario === scenario && gate.group === group)
		if (role === 'product') return own.length > 0
		if (role === 'floor') return own.some(({ to }) => to === 'floor')
		const first = cases.find((other) => other.group === group && other.role === 'peer')
		return first?.subject === subject && own.some(({ to }) => to === 'stock')
	})
}
