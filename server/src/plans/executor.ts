import {
	type Actor,
	asPlanstreamError,
	type CommandOutput,
	normalisePlan,
	type ParsedEvent,
	PlanstreamError,
} from '@planstream/shared'
import type { createInput } from '@planstream/shared/schemas'
import { v7 as uuidv7 } from 'uuid'
import type * as z from 'zod'
import type { Hub } from '../hub/hub.js'
import { type PlanFold, resultOf } from '../hub/plan-fold.js'
import type { Principal } from '../hub/principal.js'
import type { PlanKey } from '../log/event-log.js'
import type { Agent } from './agent.js'
import type { Artifacts } from './artifacts.js'
import { Attempt, type Outcome } from './attempt.js'
import { decide, dueAttempts, freeSlots } from './decide.js'
import { type Input, type Lease, stepIn } from './decision.js'
import { assertGraph } from './graph.js'
import type { Timer } from './output.js'
import type { StepJob, StepQueue } from './step-queue.js'

const SYSTEM: Actor = { type: 'system', id: 'planstream' }
/** Pause before an outcome that could not be stored is tried again. */
const STORAGE_RETRY_MS = 1000

export type ParsedCreate = z.output<typeof createInput>

export interface ExecutorOptions {
	readonly hub: Hub
	readonly agents: readonly Agent[]
	readonly queue: StepQueue
	readonly artifacts: Artifacts
	/** Milliseconds since 1970. */
	readonly clock: () => number
	/** Uniform from 0 to 1. */
	readonly random: () => number
	readonly timer: Timer
	readonly onProblem: (sentence: string, error?: Error) => void
}

/**
 * Runs the plans this server owns. It keeps no state of a plan: every change is decided from the plan's log and appended to
 * it, and the attempts that are due follow from what is there.
 */
export class Executor {
	readonly #options: ExecutorOptions
	readonly #agents: ReadonlyMap<string, Agent>
	readonly #workerId = `worker_${uuidv7()}`
	readonly #attempts = new Set<Attempt>()
	/** Attempts that have ended while their agent goes on, by plan and step: they hold their slot. */
	readonly #lingering = new Map<string, Set<string>>()
	#stopping = false

	constructor(options: ExecutorOptions) {
		this.#options = options
		this.#agents = new Map(options.agents.map((agent) => [agent.type, agent]))
		options.queue.start((job) => this.#run(job))
	}

	/** The agents a step may name, in alphabetical order. */
	get agentTypes(): readonly string[] {
		return [...this.#agents.keys()].sort()
	}

	/**
	 * Makes a plan, and starts it unless told otherwise. The same plan under the same id again changes nothing.
	 *
	 * @throws PlanstreamError `bad_request` with `path`, `conflict`, `plan_external`, `too_large`, `draining`
	 */
	create(principal: Principal, { start, ...spec }: ParsedCreate): Promise<CommandOutput> {
		const plan = normalisePlan(spec, spec.plan_id ?? `plan_${uuidv7()}`)
		assertGraph(plan, new Set(this.#agents.keys()))
		return this.#command(principal, plan.plan_id, { kind: 'create', plan, start })
	}

	/**
	 * Starts a plan that was created without being started.
	 *
	 * @throws PlanstreamError `not_found`, `illegal_transition`, `plan_external`, `draining`
	 */
	start(principal: Principal, plan_id: string): Promise<CommandOutput> {
		return this.#command(principal, plan_id, { kind: 'start' })
	}

	/** Goes on with every plan that had not come to its end when the process before this one ended. */
	async recover(): Promise<void> {
		for (const plan of await this.#options.hub.unfinished()) {
			const fold = await this.#options.hub.fold(plan)
			for (const step of fold?.state.steps ?? []) {
				if (step.status === 'running') await this.#lose(plan, step.step_id, 'worker_lost')
			}
			if (fold !== null) await this.#scheduleCurrent(plan)
		}
	}

	/** Takes no more work, cuts the attempts that run (they run again after the next start) and waits for their last events. */
	async stop(): Promise<void> {
		this.#stopping = true
		const reason = new PlanstreamError('draining', 'The server is stopping; the step runs again after its next start.')
		for (const attempt of this.#attempts) attempt.cut(reason)
		await this.#options.queue.close()
	}

	report(): { readonly attempts: number; readonly waiting: number } {
		return { attempts: this.#attempts.size, waiting: this.#options.queue.report().waiting }
	}

	async #command(principal: Principal, plan_id: string, input: Input): Promise<CommandOutput> {
		if (this.#stopping)
			throw new PlanstreamError('draining', 'The server is stopping and takes no more commands. Send it again in a moment.')
		const plan = { tenant: principal.tenant, plan_id }
		const { changed, fold } = await this.#commit(plan, input, principal.actor)
		const { cursor, status, revision } = fold.state
		return { plan_id, cursor, changed, status, revision }
	}

	/** Decides and appends, then starts what has become due. */
	async #commit(plan: PlanKey, input: Input, actor: Actor): Promise<{ changed: boolean; fold: PlanFold }> {
		const { hub, clock, random } = this.#options
		const world = { now: clock(), random: random() }
		const { appended, fold } = await hub.commit(plan, (before) =>
			decide(before, input, world).map((event) => {
				const cause = event.step_id === null && actor.type === 'agent' ? SYSTEM : actor
				return { event, actor: cause, sent: event }
			}),
		)
		if (fold === null) throw new TypeError('every decision is made on a plan or makes one')
		if (input.kind !== 'report') this.#schedule(plan, fold)
		return { changed: appended !== null, fold }
	}

	#schedule(plan: PlanKey, fold: PlanFold): void {
		if (this.#stopping) return
		const lingering = this.#lingering.get(keyOf(plan))
		const now = this.#options.clock()
		let free = freeSlots(fold) - (lingering?.size ?? 0)
		for (const { step_id, attempt, at } of dueAttempts(fold)) {
			if (lingering?.has(step_id)) continue
			if (at <= now && free-- <= 0) continue
			this.#options.queue.add({ ...plan, step_id, attempt }, at - now)
		}
	}

	async #scheduleCurrent(plan: PlanKey): Promise<void> {
		const fold = await this.#options.hub.fold(plan)
		if (fold !== null) this.#schedule(plan, fold)
	}

	async #run(job: StepJob): Promise<void> {
		const { tenant, plan_id, step_id, attempt } = job
		if (this.#stopping) return
		const plan = { tenant, plan_id }
		const lease = { step_id, attempt, worker_id: this.#workerId }
		const fold = await this.#lease(plan, lease)
		if (fold === null) return
		const running = this.#attempt(plan, lease, fold)
		this.#attempts.add(running)
		if (this.#stopping) running.cut(new Error('The server is stopping.'))
		try {
			const outcome = await running.run()
			if (running.agentRuns) this.#linger(plan, step_id, running)
			await this.#settle(plan, lease, outcome, { type: 'agent', id: stepIn(fold, step_id).spec.agent_type })
		} finally {
			this.#attempts.delete(running)
		}
	}

	/** Takes the attempt; null when it is no longer due, which a job may find out as late as this. */
	async #lease(plan: PlanKey, lease: Lease): Promise<PlanFold | null> {
		try {
			return (await this.#commit(plan, { kind: 'lease', lease }, SYSTEM)).fold
		} catch (error) {
			if (error instanceof PlanstreamError && ['illegal_transition', 'not_found'].includes(error.code)) return null
			throw error
		}
	}

	/** Keeps the slot of an attempt whose agent ignored its signal, until the agent really ends. */
	#linger(plan: PlanKey, step_id: string, attempt: Attempt): void {
		const key = keyOf(plan)
		const steps = this.#lingering.get(key) ?? new Set()
		this.#lingering.set(key, steps.add(step_id))
		void attempt.agentEnded.then(async () => {
			steps.delete(step_id)
			if (steps.size === 0) this.#lingering.delete(key)
			await this.#scheduleCurrent(plan).catch((thrown: unknown) => {
				this.#options.onProblem(`Plan ${plan.plan_id} was not scheduled.`, asPlanstreamError(thrown))
			})
		})
	}

	#attempt(plan: PlanKey, lease: Lease, fold: PlanFold): Attempt {
		const { artifacts, clock, timer } = this.#options
		const { spec } = stepIn(fold, lease.step_id)
		const agent = this.#agents.get(spec.agent_type) ?? missingAgent(spec.agent_type)
		const { plan_id, query, research_type, labels } = fold.state
		const inputs = Object.fromEntries(spec.depends_on.map((id) => [id, resultOf(fold, id)]))
		const input = fold.plan?.input ?? {}
		const step_key = `${plan.tenant}/${plan_id}/${lease.step_id}`
		const given = { plan: { plan_id, query, research_type, labels, input }, inputs, step_key }
		const actor: Actor = { type: 'agent', id: spec.agent_type }
		const report = async (events: readonly ParsedEvent[]) => {
			await this.#commit(plan, { kind: 'report', lease, events }, actor)
		}
		return new Attempt({ agent, step: spec, attempt: lease.attempt, given, report, artifacts, clock, timer })
	}

	/** Appends the outcome. One that comes too late is refused and logged; one that cannot be stored is tried until it can. */
	async #settle(plan: PlanKey, lease: Lease, outcome: Outcome, actor: Actor): Promise<void> {
		for (;;) {
			try {
				if (outcome.kind === 'cut') await this.#lose(plan, lease.step_id, 'shutdown')
				else await this.#commit(plan, { ...outcome, lease }, actor)
				return
			} catch (thrown) {
				const error = asPlanstreamError(thrown)
				const stored = error.code !== 'storage_full' && error.code !== 'storage_unavailable'
				this.#options.onProblem(`The outcome of step ${lease.step_id} of plan ${plan.plan_id} was not appended.`, error)
				if (stored || this.#stopping) return
				await new Promise<void>((resolve) => void this.#options.timer.set(resolve, STORAGE_RETRY_MS))
			}
		}
	}

	async #lose(plan: PlanKey, step_id: string, reason: 'worker_lost' | 'shutdown'): Promise<void> {
		await this.#commit(plan, { kind: 'lost', step_id, reason }, SYSTEM)
	}
}

function keyOf(plan: PlanKey): string {
	return `${plan.tenant}\n${plan.plan_id}`
}

/** Stands in for an agent a plan was made with and this server no longer has. */
function missingAgent(type: string): Agent {
	const message = `There is no agent ${type} on this server any more. Start the server with it and retry the step.`
	return { type, execute: () => Promise.reject(new PlanstreamError('not_found', message, { agent_type: type })) }
}
