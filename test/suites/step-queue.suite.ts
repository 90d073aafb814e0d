import { describe, expect, it } from 'vitest'
import type { RunJob, StepJob, StepQueue } from '../../server/src/plans/step-queue.js'

/** An implementation under test, on a clock that the test advances. */
export interface QueueUnderTest {
	readonly queue: StepQueue
	/** Advances the clock. */
	advance(ms: number): void
	/** Resolves when all due jobs have been started. */
	settled(): Promise<void>
	/** The problems it reported about jobs that could not run. */
	readonly problems: readonly string[]
}

const job = (step_id: string, attempt = 1): StepJob => ({ tenant: 'default', plan_id: 'p', step_id, attempt })

/** A worker whose jobs end when the test says so. */
class Worker {
	readonly begun: string[] = []
	readonly #ends = new Map<string, () => void>()

	readonly run: RunJob = ({ step_id, attempt }) => {
		const name = `${step_id}${attempt}`
		this.begun.push(name)
		return new Promise((resolve) => void this.#ends.set(name, resolve))
	}

	end(name: string): void {
		this.#ends.get(name)?.()
	}
}

/** The behaviour of the step queue port; every implementation runs this suite. */
export function stepQueueSuite(open: () => QueueUnderTest): void {
	const opened = () => ({ ...open(), worker: new Worker() })

	describe('the order and time of jobs', () => {
		it('starts due jobs in the order they were added, including those added before start', async () => {
			const { queue, settled, worker } = opened()
			queue.add(job('a'), 0)
			queue.add(job('b'), -5)
			await settled()
			expect(worker.begun).toEqual([])
			queue.start(worker.run)
			queue.add(job('c'), 0)
			await settled()
			expect(worker.begun).toEqual(['a1', 'b1', 'c1'])
		})

		it('starts a delayed job when it is due and not earlier', async () => {
			const { queue, advance, settled, worker } = opened()
			queue.start(worker.run)
			queue.add(job('a'), 1000)
			advance(999)
			await settled()
			expect(worker.begun).toEqual([])
			advance(1)
			await settled()
			expect(worker.begun).toEqual(['a1'])
		})
	})

	describe('the identity of jobs', () => {
		it('accepts a job once while it waits, and again after it has ended', async () => {
			const { queue, advance, settled, worker } = opened()
			queue.start(worker.run)
			queue.add(job('a'), 100)
			queue.add(job('a'), 50)
			advance(50)
			await settled()
			expect(worker.begun).toEqual([])
			advance(50)
			await settled()
			expect(worker.begun).toEqual(['a1'])
			worker.end('a1')
			await settled()
			queue.add(job('a'), 0)
			await settled()
			expect(worker.begun).toEqual(['a1', 'a1'])
		})

		it('runs a job that was added while it ran once more after it has ended, and never in parallel', async () => {
			const { queue, advance, settled, worker } = opened()
			queue.start(worker.run)
			queue.add(job('a'), 0)
			await settled()
			queue.add(job('a'), 1000)
			queue.add(job('a'), 0)
			await settled()
			expect(worker.begun).toEqual(['a1'])
			worker.end('a1')
			await settled()
			expect(worker.begun).toEqual(['a1', 'a1'])
			worker.end('a1')
			advance(1000)
			await settled()
			expect(worker.begun).toEqual(['a1', 'a1'])
		})

		it.each([0, 1, 2, 3, 4, 8])('keeps a job that is added %i turns after its end began', async (turns) => {
			const { queue, settled, worker } = opened()
			queue.start(worker.run)
			queue.add(job('a'), 0)
			await settled()
			worker.end('a1')
			for (let turn = 0; turn < turns; turn++) await Promise.resolve()
			queue.add(job('a'), 0)
			await settled()
			expect(worker.begun).toEqual(['a1', 'a1'])
		})

		it('starts a waiting job at once when it is added without delay, and only once', async () => {
			const { queue, advance, settled, worker } = opened()
			queue.start(worker.run)
			queue.add(job('a'), 100)
			queue.add(job('a'), 0)
			await settled()
			expect(worker.begun).toEqual(['a1'])
			worker.end('a1')
			advance(100)
			await settled()
			expect(worker.begun).toEqual(['a1'])
		})

		it.each([
			['attempts', job('a', 2)],
			['steps', job('b')],
			['plans', { ...job('a'), plan_id: 'q' }],
			['tenants', { ...job('a'), tenant: 'other' }],
		])('tells %s apart', async (_what, other) => {
			const { queue, settled, worker } = opened()
			queue.start(worker.run)
			queue.add(job('a'), 0)
			queue.add(other, 0)
			await settled()
			expect(worker.begun).toHaveLength(2)
		})

		it('passes a job on as plain ids, as a remote queue must', async () => {
			const { queue, settled } = opened()
			const taken: StepJob[] = []
			queue.start((given) => Promise.resolve(void taken.push(given)))
			queue.add(job('a'), 0)
			await settled()
			expect(JSON.parse(JSON.stringify(taken))).toEqual([job('a')])
		})
	})

	it('reports a job that throws, and continues with the others', async () => {
		const { queue, settled, problems } = opened()
		const begun: string[] = []
		queue.start(({ step_id }) => {
			begun.push(step_id)
			return step_id === 'a' ? Promise.reject(new Error('broken')) : Promise.resolve()
		})
		queue.add(job('a'), 0)
		queue.add(job('b'), 0)
		await settled()
		expect(begun).toEqual(['a', 'b'])
		expect(problems).toEqual(['Step a of plan p could not be run.'])
	})

	it('waits for running jobs, drops waiting ones and accepts no more when it is closed', async () => {
		const { queue, advance, settled, worker } = opened()
		queue.start(worker.run)
		queue.add(job('a'), 0)
		queue.add(job('b'), 100)
		await settled()
		let closed = false
		const closing = queue.close().then(() => {
			closed = true
		})
		await settled()
		expect(closed).toBe(false)
		worker.end('a1')
		await closing
		queue.add(job('c'), 0)
		advance(1000)
		await settled()
		expect(worker.begun).toEqual(['a1'])
	})
}
