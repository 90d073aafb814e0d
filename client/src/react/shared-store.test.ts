import { describe, expect, it } from 'vitest'
import { SharedStore, type Show } from './shared-store.js'

/** Sets up a store whose source and animation frames the test controls. */
function setUp() {
	const runs: { show: Show<number>; signal: AbortSignal }[] = []
	const frames: (() => void)[] = []
	let idle = 0
	const shared = new SharedStore<number>({
		initial: 0,
		follow: (show, signal) => {
			runs.push({ show, signal })
			return Promise.resolve()
		},
		onIdle: () => idle++,
		frames: (run) => void frames.push(run),
	})
	const seen: number[] = []
	const look = () => shared.subscribe(() => seen.push(shared.view))
	const drawAll = () => {
		for (const frame of frames.splice(0)) frame()
	}
	return { shared, runs, seen, look, drawAll, frames, idle: () => idle }
}

describe('SharedStore', () => {
	it('follows its source once for all subscribers, until the last one leaves', async () => {
		const { runs, look, idle } = setUp()
		const leave = [look(), look(), look()]
		await Promise.resolve()
		expect(runs).toHaveLength(1)
		for (const each of leave.slice(1)) each()
		await Promise.resolve()
		expect([runs[0]?.signal.aborted, idle()]).toEqual([false, 0])
		leave[0]?.()
		await Promise.resolve()
		expect([runs[0]?.signal.aborted, idle()]).toEqual([true, 1])
	})

	it('keeps its source when a subscriber leaves and returns in the same turn', async () => {
		const { runs, look, idle } = setUp()
		look()()
		look()
		await Promise.resolve()
		expect([runs.length, runs[0]?.signal.aborted, idle()]).toEqual([1, false, 0])
	})

	it('computes its view once a frame, from the latest value', async () => {
		const { shared, runs, seen, look, drawAll, frames } = setUp()
		look()
		await Promise.resolve()
		let made = 0
		for (let value = 1; value <= 1000; value++) {
			runs[0]?.show(() => {
				made++
				return value
			})
		}
		expect([shared.view, frames.length, made]).toEqual([0, 1, 0])
		drawAll()
		expect([seen, made]).toEqual([[1000], 1])
		runs[0]?.show(() => 1001)
		drawAll()
		expect(seen).toEqual([1000, 1001])
	})

	it('ignores values of a source that was restarted', async () => {
		const { shared, runs, seen, look, drawAll } = setUp()
		look()
		await Promise.resolve()
		shared.restart()
		await Promise.resolve()
		expect(runs.map(({ signal }) => signal.aborted)).toEqual([true, false])
		runs[0]?.show(() => 1)
		runs[1]?.show(() => 2)
		drawAll()
		expect(seen).toEqual([2])
	})
})
