import { initialPlanState, type PlanState } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import type { Planstream } from '../client.js'
import type { WatchPlanOptions } from '../watch.js'
import { PlanFeed } from './feeds.js'

const settled = () => new Promise((resolve) => setImmediate(resolve))

function stateOf(epoch: string, seq: number): PlanState {
	return { ...initialPlanState('p', 'managed'), seq, cursor: `${epoch}.${seq}.${'0'.repeat(16)}` }
}

/** Sets up a feed whose watches yield the listed states, one watch per list, and records what its component sees. */
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

/** Waits until a watch of a few states has ended. */
async function watched(): Promise<void> {
	for (let turns = 0; turns < 20; turns++) await settled()
}

describe('PlanFeed', () => {
	it('never shows an older state while it reads the events from the start', async () => {
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

	it('shows a recreated plan with the same id from its start', async () => {
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

	it('watches once for all subscribers and stops when the last one leaves', async () => {
		const { from, look } = setUp([stateOf('e', 3)], [stateOf('e', 3)])
		const leave = [look(true), look(false), look(true)]
		await watched()
		for (const each of leave) each()
		await watched()
		expect(from).toEqual(['start'])
	})
})
