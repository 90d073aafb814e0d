import type { Health } from '../ops/health.js'
import type { Outcome } from './attempt.js'

const WORKERS = 'workers'
const componentOf = (agent_type: string): string => `agent:${agent_type}`

/** How an attempt fails when the process of its agent did not live to the end of it. */
const DEATHS: ReadonlySet<string> = new Set(['agent_crashed', 'agent_exited', 'agent_not_loaded', 'agent_out_of_memory'])

/** Says how agents and the workers that call them are. */
export class WorkerHealth {
	readonly #health: Health

	constructor(health: Health, agentTypes: Iterable<string>) {
		this.#health = health
		this.lingering(0)
		for (const agent_type of agentTypes) health.tell(componentOf(agent_type), 'ok')
	}

	/** An agent whose process died is degraded until an attempt of it comes to a result. */
	ended(agent_type: string, outcome: Outcome): void {
		if (outcome.kind === 'result') this.#health.tell(componentOf(agent_type), 'ok')
		if (outcome.kind !== 'failure' || !DEATHS.has(outcome.error.code)) return
		this.#health.tell(componentOf(agent_type), 'degraded', `The process of its last attempt ended early: ${outcome.error.code}.`)
	}

	/** @param count - agents that go on although their attempts have ended */
	lingering(count: number): void {
		if (count === 0) this.#health.tell(WORKERS, 'ok')
		else
			this.#health.tell(WORKERS, 'degraded', `Agents that ignore their signal hold ${count} ${count === 1 ? 'slot' : 'slots'}.`)
	}
}
