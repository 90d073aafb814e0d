import { initialPlanState, type PlanState } from '@planstream/shared'
import { expect, it } from 'vitest'
import type { Planstream } from '../client.js'
import type { WatchPlanOptions } from '../watch.js'
import { PlanFeed } from './feeds.js'

const settled = () => new Promise((resolve) => setImmediate(resolve))

function stateOf(epoch: string, seq: number): PlanState {
	return { ...initialPlanState('p', 'managed'), seq, cursor: `${epoch}.${seq}.${'0'.repeat(16)}` }
}

/** A feed whose watches bring what the test lists, each in its turn, and what its component sees. */
function setUp(...watches: readonly (readonly PlanState[])[]) {
	const rest = [...watches]
	const from: WatchPlanOptions['from'][] = []
	async function* watch(_: string, options: WatchPlanOptions = {}): AsyncGenerator<PlanState, void, undefined> {
		from.push(options.from)
		for (const state of rest.shift() ?? []) {
			yield state
			await settled()
		}
	}
	const planstream = { plans: { watch } } as unknown as Planstream
	const frames = (run: () => void) => run()
	const feed = new PlanFeed({ planstream, plan_id: 'p', initial: null, onIdle: () => {}, frames })
	const seen: (number | undefined)[] = []
	const look = (events: boolean) => feed.subscribe(() => seen.push(feed.view.state?.seq), { events })
	return { from, seen, look }
}

/** Lets a watch of a few states come to its end. */
async function watched(): Promise<void> {
	for (let turns = 0; turns < 20; turns++) await settled()
}

it('does not show a plan as it was before while its events are read from their start', async () => {
	const { from, seen, look } = setUp(
		[stateOf('e', 3)],
		[1, 2, 3, 4].map((seq) => stateOf('e', seq)),
	)
	look(false)
	await watched()
	look(true)
	await watched()
	expect(from).toEqual(['now', 'start'])
	expect([...new Set(seen)]).toEqual([3, 4])
})

it('shows a plan of the same id that was made anew from its start', async () => {
	const { seen, look } = setUp(
		[stateOf('e', 3)],
		[1, 2].map((seq) => stateOf('other', seq)),
	)
	look(false)
	await watched()
	look(true)
	await watched()
	expect([...new Set(seen)]).toEqual([3, 1, 2])
})

it('is followed once for all who look, and gone with them', async () => {
	const { from, look } = setUp([stateOf('e', 3)], [stateOf('e', 3)])
	const leave = [look(true), look(false), look(true)]
	await watched()
	for (const each of leave) each()
	await watched()
	expect(from).toEqual(['start'])
})
