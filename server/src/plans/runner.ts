import { AsyncResource } from 'node:async_hooks'
import { type Actor, asPlanstreamError, type ParsedEvent, PlanstreamError } from '@planstream/shared'
import { v7 as uuidv7 } from 'uuid'
import { getResult, type PlanFold } from '../hub/plan-fold.js'
import { type PlanKey, planKey } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'
import type { Health } from '../ops/health.js'
import type { Agent } from './agent.js'
import type { ArtifactHold, Artifacts } from './artifacts.js'
import { Attempt, type AttemptOutcome } from './attempt.js'
import { toFailure } from './attempt-checks.js'
import { type Dispatcher, SYSTEM } from './dispatcher.js'
import { countFreeSlots, listDueAttempts } from './rules/decide.js'
import { getStep, type Lease } from './rules/input.js'
import type { StepJob, StepQueue } from './step-queue.js'

const NONE: ReadonlySet<string> = new Set()

/** Steps whose agent ignores its signal and outlives its attempt: each still holds its slot and its step. */
class OrphanedSteps {
	readonly #steps = new Map<string, Set<string>>()

	get(plan: PlanKey): ReadonlySet<string> {
		return this.#steps.get(planKey(plan)) ?? NONE
	}

	/** Number of orphaned steps in all plans. */
	get size(): number {
		return [...this.#steps.values()].reduce((sum, steps) => sum + steps.size, 0)
	}

	add(plan: PlanKey, step_id: string): void {
		const steps = this.#steps.get(planKey(plan)) ?? new Set()
		this.#steps.set(planKey(plan), steps.add(step_id))
	}

	remove(plan: PlanKey, step_id: string): void {
		const steps = this.#steps.get(planKey(plan))
		steps?.delete(step_id)
		if (steps?.size === 0) this.#steps.delete(planKey(plan))
	}
}

const WORKERS = 'workers'
const nameComponent = (agent_type: string): string => `agent:${agent_type}`

/** Failure codes of attempts whose agent process died. */
const DEATHS: ReadonlySet<string> = new Set(['agent_crashed', 'agent_exited', 'agent_not_loaded', 'agent_out_of_memory'])

/** Reports the health of agents and of the workers that call them. */
export class WorkerHealth {
	readonly #health: Health

	constructor(health: Health, agentTypes: Iterable<string>) {
		this.#health = health
		this.reportOrphans(0)
		for (const agent_type of agentTypes) health.report(nameComponent(agent_type), 'ok')
	}

	/** Marks an agent whose process died as degraded, until one of its attempts returns a result. */
	recordOutcome(agent_type: string, outcome: AttemptOutcome): void {
		if (outcome.kind === 'result') this.#health.report(nameComponent(agent_type), 'ok')
		if (outcome.kind !== 'failure' || !DEATHS.has(outcome.error.code)) return
		this.#health.report(
			nameComponent(agent_type),
			'degraded',
			`The process of its last attempt ended early: ${outcome.error.code}.`,
		)
	}

	/** @param count - agents that outlived their attempts */
	reportOrphans(count: number): void {
		if (count === 0) this.#health.report(WORKERS, 'ok')
		else
			this.#health.report(WORKERS, 'degraded', `Agents that ignore their signal hold ${count} ${count === 1 ? 'slot' : 'slots'}.`)
	}
}

/** Time an interrupted agent has to end before it is fenced. */
const GRACE_MS = 10_000

export interface RunnerOptions {
	readonly agents: ReadonlyMap<string, Agent>
	readonly queue: StepQueue
	readonly artifacts: Artifacts
	readonly dispatcher: Dispatcher
	readonly health: Health
	readonly clock: () => number
	readonly schedule: Schedule
	readonly onProblem: (message: string, error?: Error) => void
}

/** Runs attempts: takes due jobs from the queue, calls the agent, appends the outcome. */
export class Runner {
	/** Steps whose agent outlived its attempt. */
	readonly orphans = new OrphanedSteps()
	readonly #options: RunnerOptions
	/** Recorded in `step_started` of each attempt this process runs. */
	readonly workerId = `worker_${uuidv7()}`
	readonly #attempts = new Map<string, Set<Attempt>>()
	/** Plans that are pausing or being cancelled: an attempt whose lease was under way at that moment is cut when it begins. */
	readonly #interrupted = new Set<string>()
	readonly #health: WorkerHealth
	/** Agents run in the context in which the server was made, not in that of a request whose end made a step due. */
	readonly #context = new AsyncResource('PlanstreamAgents')
	#stopped = false

	constructor(options: RunnerOptions) {
		this.#options = options
		this.#health = new WorkerHealth(options.health, options.agents.keys())
		options.queue.start((job) => this.#run(job))
	}

	/** Queues the attempts that have become due, or cuts the running ones of a plan that is pausing or being cancelled. */
	follow(plan: PlanKey, fold: PlanFold): void {
		const { status } = fold.state
		const key = planKey(plan)
		if (status === 'cancelling' || (status === 'pausing' && fold.pause?.mode === 'interrupt')) {
			this.#interrupted.add(key)
			for (const attempt of this.#attempts.get(key) ?? []) attempt.cut('interrupted', GRACE_MS)
		} else this.#interrupted.delete(key)
		if (!this.#stopped) this.#schedule(plan, fold)
	}

	/** Accepts no more work, cuts running attempts (they run again after the next start) and waits for their last events. */
	async stop(): Promise<void> {
		this.#stopped = true
		for (const attempts of this.#attempts.values()) for (const attempt of attempts) attempt.cut('shutdown', 0)
		await this.#options.queue.close()
	}

	get running(): number {
		return [...this.#attempts.values()].reduce((sum, attempts) => sum + attempts.size, 0)
	}

	#schedule(plan: PlanKey, fold: PlanFold): void {
		const live = this.orphans.get(plan)
		const now = this.#options.clock()
		let free = countFreeSlots(fold, live)
		for (const { step_id, attempt, at } of listDueAttempts(fold, Math.max(0, free) + live.size)) {
			if (live.has(step_id)) continue
			if (at <= now && free-- <= 0) continue
			this.#options.queue.add({ ...plan, step_id, attempt }, at - now)
		}
	}

	async #run({ tenant, plan_id, step_id, attempt }: StepJob): Promise<void> {
		if (this.#stopped) return
		const plan = { tenant, plan_id }
		const lease = { step_id, attempt, worker_id: this.workerId }
		const fold = await this.#lease(plan, lease)
		if (fold === null) return
		using hold = this.#options.artifacts.hold(tenant)
		const running = this.#createAttempt(plan, lease, fold, hold)
		const attempts = this.#attempts.get(planKey(plan)) ?? new Set()
		this.#attempts.set(planKey(plan), attempts.add(running))
		try {
			const ended = this.#context.runInAsyncScope(() => running.run())
			if (this.#stopped) running.cut('shutdown', 0)
			else if (this.#interrupted.has(planKey(plan))) running.cut('interrupted', GRACE_MS)
			const outcome = await ended
			if (running.agentRuns) this.#trackOrphan(plan, step_id, running)
			const { agent_type } = getStep(fold, step_id).spec
			this.#health.recordOutcome(agent_type, outcome)
			await this.#settle(plan, lease, outcome, { type: 'agent', id: agent_type })
		} finally {
			attempts.delete(running)
			if (attempts.size === 0) this.#attempts.delete(planKey(plan))
		}
	}

	/** Leases the attempt; null when it is no longer due, which a job may learn only here. */
	async #lease(plan: PlanKey, lease: Lease): Promise<PlanFold | null> {
		try {
			return await this.#options.dispatcher.dispatchUntilStored(plan, { kind: 'lease', lease }, SYSTEM)
		} catch (error) {
			if (error instanceof PlanstreamError && ['illegal_transition', 'not_found'].includes(error.code)) return null
			throw error
		}
	}

	/** Keeps the slot of an attempt whose agent ignored its signal, until the agent really ends. */
	#trackOrphan(plan: PlanKey, step_id: string, attempt: Attempt): void {
		this.orphans.add(plan, step_id)
		this.#health.reportOrphans(this.orphans.size)
		void attempt.agentEnded.then(async () => {
			this.orphans.remove(plan, step_id)
			this.#health.reportOrphans(this.orphans.size)
			await this.#options.dispatcher.dispatchUntilStored(plan, { kind: 'idle' }, SYSTEM).catch((thrown: unknown) => {
				this.#options.onProblem(
					`The end of step ${step_id} of plan ${plan.plan_id} could not be recorded.`,
					asPlanstreamError(thrown),
				)
			})
		})
	}

	#createAttempt(plan: PlanKey, lease: Lease, fold: PlanFold, artifacts: ArtifactHold): Attempt {
		const { agents, dispatcher, clock, schedule } = this.#options
		const { spec } = getStep(fold, lease.step_id)
		const agent = agents.get(spec.agent_type) ?? makeMissingAgent(spec.agent_type)
		const { plan_id, query, research_type, labels } = fold.state
		const inputs = Object.fromEntries(spec.depends_on.map((id) => [id, getResult(fold, id)]))
		const input = fold.plan?.input ?? {}
		const step_key = `${plan.tenant}/${plan_id}/${lease.step_id}`
		const given = { plan: { tenant: plan.tenant, plan_id, query, research_type, labels, input }, inputs, step_key }
		const actor: Actor = { type: 'agent', id: spec.agent_type }
		const report = async (events: readonly ParsedEvent[]) => {
			await dispatcher.dispatchUntilStored(plan, { kind: 'report', lease, events }, actor)
		}
		return new Attempt({ agent, step: spec, attempt: lease.attempt, given, report, artifacts, clock, schedule })
	}

	/** Appends the outcome. One that comes too late is rejected and logged; a result too large for its event fails the step. */
	async #settle(plan: PlanKey, lease: Lease, outcome: AttemptOutcome, actor: Actor): Promise<void> {
		const { step_id, attempt } = lease
		try {
			if (outcome.kind === 'cut')
				await this.#options.dispatcher.dispatchUntilStored(
					plan,
					{ kind: 'lost', step_id, attempt, reason: outcome.reason },
					SYSTEM,
				)
			else await this.#options.dispatcher.dispatchUntilStored(plan, { ...outcome, lease }, actor)
		} catch (thrown) {
			const error = asPlanstreamError(thrown)
			if (outcome.kind === 'result' && error.code === 'too_large') {
				const { duration_ms } = outcome.result
				await this.#settle(plan, lease, { kind: 'failure', reason: 'error', error: toFailure(error), duration_ms }, actor)
			} else this.#options.onProblem(`The outcome of step ${step_id} of plan ${plan.plan_id} was not stored.`, error)
		}
	}
}

/** Makes a stand-in for an agent that this server no longer has. */
function makeMissingAgent(type: string): Agent {
	const message = `This server has no agent ${type}. Start it with that agent and retry the step.`
	return { type, execute: () => Promise.reject(new PlanstreamError('not_found', message, { agent_type: type })) }
}
