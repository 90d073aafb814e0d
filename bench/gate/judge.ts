import type { Case } from '../case.js'
import type { ScenarioName } from '../options.js'
import { figures, type Row, ratio } from '../report/rows.js'
import type { Gate } from './gates.js'

/** The rows of one scenario. */
export interface Measured {
	readonly scenario: ScenarioName
	readonly rows: readonly Row[]
}

/** What one of the product's cases came to at one gate. */
export interface Verdict {
	readonly gate: Gate
	readonly subject: string
	/** The median of the rounds. */
	readonly value: number
	readonly isMissed: boolean
}

/**
 * Holds every case of the product against the gates of its group.
 *
 * @throws Error for a gate with nothing to hold against it, or nothing to divide by
 */
export function judge(measured: readonly Measured[], gates: readonly Gate[]): Verdict[] {
	return gates.flatMap((gate) => {
		const all = measured.filter(({ scenario }) => scenario === gate.scenario).flatMap(({ rows }) => rows)
		const rows = all.filter(({ of }) => of.role === 'product' && of.group === gate.group)
		if (rows.length === 0) throw new Error(`Nothing was measured of ${gate.scenario}, ${gate.group}, for which there is a gate.`)
		return rows.map((row) => {
			const value = valueAt(gate, row)
			// A value that is none has not passed.
			return { gate, subject: row.of.subject, value, isMissed: !(value <= gate.most) }
		})
	})
}

function valueAt({ scenario, figure, to }: Gate, row: Row): number {
	if (to === null) return figures(row, figure).median
	const compared = ratio(row, to === 'floor' ? row.floor : row.peer, figure)
	if (compared !== null) return compared.median
	throw new Error(`${scenario}, ${row.of.group} has nothing to compare ${row.of.subject} with; its gate needs ${to}.`)
}

/** Where the first measurement missed, the second one counts: what else a machine does spoils one, but seldom two. */
export function settle(first: readonly Verdict[], again: readonly Verdict[]): Verdict[] {
	const secondOf = ({ gate, subject }: Verdict) => again.find((other) => other.gate === gate && other.subject === subject)
	return first.map((verdict) => (verdict.isMissed ? (secondOf(verdict) ?? verdict) : verdict))
}

/** The cases of a scenario that its gates need. Of several peers only the first is one that everybody has. */
export function needed(scenario: ScenarioName, cases: readonly Case[], gates: readonly Gate[]): Case[] {
	return cases.filter(({ group, role, subject }) => {
		const own = gates.filter((gate) => gate.scenario === scenario && gate.group === group)
		if (role === 'product') return own.length > 0
		if (role === 'floor') return own.some(({ to }) => to === 'floor')
		const first = cases.find((other) => other.group === group && other.role === 'peer')
		return first?.subject === subject && own.some(({ to }) => to === 'stock')
	})
}
