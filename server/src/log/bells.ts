import type { PlanKey } from './event-log.js'

/** One text for a plan's key; no plan id holds the separator. */
export function keyText({ tenant, plan_id }: PlanKey): string {
	return `${tenant}\n${plan_id}`
}

/** Who wants to hear that a plan, or any summary of a tenant, has changed. Nothing is queued for anybody. */
export class Bells {
	readonly #plans = new Map<string, Set<Ear>>()
	readonly #tenants = new Map<string, Set<Ear>>()
	#size = 0

	/** How many ears there are. */
	get size(): number {
		return this.#size
	}

	add(target: PlanKey | { readonly tenant: string }, onRing: () => void): Disposable {
		const [group, key] = 'plan_id' in target ? [this.#plans, keyText(target)] : [this.#tenants, target.tenant]
		const ears = group.get(key) ?? new Set()
		const ear = { onRing }
		group.set(key, ears.add(ear))
		this.#size += 1
		return {
			[Symbol.dispose]: () => {
				if (!ears.delete(ear)) return
				this.#size -= 1
				if (ears.size === 0) group.delete(key)
			},
		}
	}

	ring(plan: PlanKey, changed: { readonly summary: boolean }): void {
		ringAll(this.#plans.get(keyText(plan)))
		if (changed.summary) ringAll(this.#tenants.get(plan.tenant))
	}
}

/** An object of its own, so that one function may listen twice. */
interface Ear {
	readonly onRing: () => void
}

function ringAll(ears: ReadonlySet<Ear> | undefined): void {
	if (!ears) return
	for (const ear of [...ears]) {
		try {
			ear.onRing()
		} catch (error) {
			// The append is durable and the other ears must hear of it; the bug is its owner's and goes to the process.
			queueMicrotask(() => {
				throw error
			})
		}
	}
}
