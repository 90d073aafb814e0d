import fc from 'fast-check'
import { expect, it } from 'vitest'
import { StreamServer } from '../support/servers/stream-server.js'
import { arbitrarySwitchingRun, readWithSwitches } from '../support/streams/transport-switching.js'

/** Checks the events of a reader that is cut at random moments and resumes over random transports. */
export function exactSuite(runs: number): void {
	it(`gives a reader that is cut and changes transports each event once, in order, exact (${runs} runs)`, async () => {
		await using server = await StreamServer.start()
		let plans = 0
		const property = fc.asyncProperty(arbitrarySwitchingRun, async (way) => {
			const { seen, expected } = await readWithSwitches(server, `plan_${++plans}`, way)
			expect(seen).toEqual(expected)
		})
		await fc.assert(property, { seed: 30, numRuns: runs, endOnFailure: true })
		await server.quiet()
	})
}
