import type { Case, Measurement } from './case.js'

/** The measurement of one case in one round. */
export interface Sample {
	readonly round: number
	readonly of: Case
	readonly measurement: Measurement
}

/** Measures every case once a round, so that other work on the machine affects all of them. Every other round runs backwards, so that no case always follows the same one. */
export async function* measureRounds(cases: readonly Case[], rounds: number): AsyncGenerator<Sample, void, void> {
	for (let round = 1; round <= rounds; round++) {
		for (const of of round % 2 === 1 ? cases : cases.toReversed()) {
			process.stderr.write(`round ${round} of ${rounds}: ${of.group}, ${of.subject}\n`)
			yield { round, of, measurement: await of.measure() }
		}
	}
}
