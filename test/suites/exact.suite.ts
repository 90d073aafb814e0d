import fc from 'fast-check'
import { expect, it } from 'vitest'
import { StreamServer } from '../support/servers/stream-server.js'
import { arbitrarySwitchingRun, readWithSwitches } from '../support/streams/transport-switching.js'

/** What a reader sees that is cut at any moment and goes on by any transport. */
export function exactSuite(runs: number): void {
	it(`a reader that is cut and changes its transport sees each event once, in order and byte for byte: ${runs} ways`, async () => {
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
