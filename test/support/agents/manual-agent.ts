import type { Agent, StepContext } from '../../../server/src/plans/agent.js'

/** An agent whose attempts end when the test says so. It ignores its signal unless `stopsOnAbort` is set. */
export class ManualAgent implements Agent {
	readonly type = 'held'
	readonly running = new Map<string, { end: () => void; fail: () => void; context: StepContext }>()
	readonly started: string[] = []
	readonly stopsOnAbort: boolean
	#wanted: { count: number; resolve: () => void } | null = null

	constructor(obedient: boolean) {
		this.stopsOnAbort = obedient
	}

	execute(step: { readonly step_id: string }, context: StepContext): Promise<{ data: Record<string, string> }> {
		this.started.push(step.step_id)
		return new Promise((resolve, reject) => {
			const gone = () => this.running.delete(step.step_id)
			const end = () => {
				gone()
				resolve({ data: { from: step.step_id } })
			}
			const fail = () => {
				gone()
				reject(new Error('told to stop'))
			}
			if (this.stopsOnAbort) context.signal.addEventListener('abort', fail, { once: true })
			this.running.set(step.step_id, { end, fail, context })
			if (this.#wanted !== null && this.running.size >= this.#wanted.count) this.#wanted.resolve()
		})
	}

	/** Resolves when this many attempts run at once. */
	async reaches(count: number): Promise<void> {
		if (this.running.size >= count) return
		await new Promise<void>((resolve) => {
			this.#wanted = { count, resolve }
		})
		this.#wanted = null
	}
}
