import { keyText } from '../log/bells.js'
import type { PlanKey } from '../log/event-log.js'

const NONE: ReadonlySet<string> = new Set()

/** Steps whose agent ignores its signal and goes on after its attempt has ended: each holds its slot and its step. */
export class Lingering {
	readonly #steps = new Map<string, Set<string>>()

	of(plan: PlanKey): ReadonlySet<string> {
		return this.#steps.get(keyText(plan)) ?? NONE
	}

	/** How many there are in all plans. */
	get size(): number {
		return [...this.#steps.values()].reduce((sum, steps) => sum + steps.size, 0)
	}

	add(plan: PlanKey, step_id: string): void {
		const steps = this.#steps.get(keyText(plan)) ?? new Set()
		this.#steps.set(keyText(plan), steps.add(step_id))
	}

	remove(plan: PlanKey, step_id: string): void {
		const steps = this.#steps.get(keyText(plan))
		steps?.delete(step_id)
		if (steps?.size === 0) this.#steps.delete(keyText(plan))
	}
}
