import { createHash } from 'node:crypto'
import {
	asPlanstreamError,
	type CommandOutput,
	type Failure,
	type ImportOutput,
	isFinished,
	type NormalisedPlan,
	normalisePlan,
	PlanstreamError,
} from '@planstream/shared'
import type { createInput } from '@planstream/shared/schemas'
import { v7 as uuidv7 } from 'uuid'
import type * as z from 'zod'
import type { Archive } from '../hub/archive.js'
import type { Hub } from '../hub/hub.js'
import { type PlanFold, unknownPlan } from '../hub/plan-fold.js'
import type { Principal } from '../hub/principal.js'
import type { EventLog, PlanKey } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'
import { Health } from '../ops/health.js'
import { getOwn } from '../ops/json.js'
import type { Agent } from './agent.js'
import { type AgentDescription, assertInputs, describeAgent } from './agent-schemas.js'
import type { Artifacts } from './artifacts.js'
import { type CommandRequest, type CommandTerms, Dispatcher, IdempotencyGuard, SYSTEM } from './dispatcher.js'
import { Recovery } from './recovery.js'
import { assertGraph } from './rules/graph.js'
import type { Command } from './rules/input.js'
import { Runner } from './runner.js'
import type { StepQueue } from './step-queue.js'
import { Deadlines, MetricsReporter } from './timers.js'

export type ParsedCreate = z.output<typeof createInput>

/** A plan to create, and the request behind it unless the plan itself was sent. */
interface Creation {
	readonly plan: NormalisedPlan
	readonly start: boolean
	readonly idempotency_key?: string | undefined
	readonly request?: CommandRequest
}

export interface ExecutorOptions {
	readonly hub: Hub
	readonly log: EventLog
	readonly agents: readonly Agent[]
	readonly queue: StepQueue
	readonly artifacts: Artifacts
	/** Milliseconds since 1970. */
	readonly clock: () => number
	/** Uniform from 0 to 1. */
	readonly random: () => number
	readonly schedule: Schedule
	/** Receives the health of agents and workers. @defaultValue a health that is not shown */
	readonly health?: Health
	readonly onProblem: (message: string, error?: Error) => void
	/** Called when a plan has failed. @defaultValue nothing */
	readonly onPlanFailed?: (plan: PlanKey, error: Failure) => void
}

/**
 * Runs the plans this server owns. It keeps no plan state: every change is decided from the plan's log and appended to it, and
 * the due attempts follow from the log.
 */
export class Executor {
	readonly #hub: Hub
	readonly #log: EventLog
	readonly #agents: ReadonlyMap<string, Agent>
	/** Descriptions of the agents a step may name, sorted by type. */
	readonly agents: readonly AgentDescription[]
	readonly #dispatcher: Dispatcher
	readonly #runner: Runner
	readonly #deadlines: Deadlines
	readonly #metrics: MetricsReporter
	readonly #recovery: Recovery
	readonly #onProblem: ExecutorOptions['onProblem']
	#stopped = false

	constructor({
		hub,
		log,
		agents,
		queue,
		artifacts,
		clock,
		random,
		schedule,
		health = new Health(),
		onProblem,
		onPlanFailed = () => undefined,
	}: ExecutorOptions) {
		this.#hub = hub
		this.#log = log
		this.#onProblem = onProblem
		this.#agents = new Map(agents.map((agent) => [agent.type, agent]))
		this.agents = agents.map(describeAgent).sort((one, other) => (one.agent_type < other.agent_type ? -1 : 1))
		this.#dispatcher = new Dispatcher({
			hub,
			clock,
			random,
			schedule,
			onProblem,
			onPlanFailed,
			agents: this.#agents,
			live: (plan) => this.#runner.orphans.get(plan),
			onChange: (plan, fold) => this.#follow(plan, fold),
		})
		const shared = { queue, artifacts, health, clock, schedule, onProblem }
		this.#runner = new Runner({ ...shared, agents: this.#agents, dispatcher: this.#dispatcher })
		this.#deadlines = new Deadlines({
			clock,
			schedule,
			onDue: (plan, occurrence) => this.#reportFailure(plan, this.#dispatcher.dispatchUntilStored(plan, occurrence, SYSTEM)),
		})
		this.#metrics = new MetricsReporter({
			clock,
			schedule,
			report: (plan, window_ms, guard) => this.#dispatcher.dispatch(plan, { kind: 'metrics', window_ms }, SYSTEM, { guard }),
			onProblem: (plan, thrown) => onProblem(`The metrics of plan ${plan.plan_id} were not stored.`, asPlanstreamError(thrown)),
		})
		this.#recovery = new Recovery({ recover: (plan) => this.#recoverPlan(plan), schedule, health, onProblem })
	}

	/**
	 * Creates a plan, and starts it unless `start` is false. Creating the same plan under the same id again changes nothing.
	 *
	 * @throws PlanstreamError `bad_request` and `invalid_input` with `path`, `conflict`, `plan_external`, `too_large`, `idempotency_mismatch`, `draining`
	 */
	async create(principal: Principal, { start, idempotency_key, ...spec }: ParsedCreate): Promise<CommandOutput> {
		const plan_id = spec.plan_id ?? makePlanId(principal.tenant, idempotency_key)
		return await this.#create(principal, { plan: normalisePlan(spec, plan_id), start, idempotency_key })
	}

	/**
	 * Creates a plan from the current form of another one, with all its modifications and none of its history.
	 *
	 * @throws PlanstreamError `not_found`, `plan_external`, `conflict`, `idempotency_mismatch`, `draining`
	 */
	async clone(
		principal: Principal,
		source_id: string,
		given: { readonly plan_id?: string | undefined; readonly start: boolean; readonly idempotency_key?: string | undefined },
	): Promise<CommandOutput> {
		const source = await this.#hub.fold({ tenant: principal.tenant, plan_id: source_id })
		if (source === null) throw unknownPlan(source_id)
		if (source.plan === null || source.state.owner === 'external') {
			const message = `Plan ${source_id} is external; only plans that this server runs can be cloned.`
			throw new PlanstreamError('plan_external', message, { plan_id: source_id })
		}
		const plan_id = given.plan_id ?? makePlanId(principal.tenant, given.idempotency_key)
		const request = { name: 'clone', of: source_id, ...given }
		return await this.#create(principal, { ...given, plan: { ...source.plan, plan_id }, request })
	}

	/**
	 * Decides a command on a plan and appends the resulting events.
	 *
	 * @throws PlanstreamError `not_found`, `plan_external`, `illegal_transition`, `bad_request`, `stale_revision`, `idempotency_mismatch`, `draining`
	 */
	async command(
		principal: Principal,
		plan_id: string,
		command: Command,
		terms: CommandTerms = {},
		request: CommandRequest = { ...command, name: command.kind },
	): Promise<CommandOutput> {
		if (this.#stopped) {
			throw new PlanstreamError('draining', 'The server is stopping and accepts no commands. Retry in a moment.')
		}
		const plan = { tenant: principal.tenant, plan_id }
		const guard = new IdempotencyGuard(request, terms)
		const { changed, fold } = await this.#dispatcher.dispatch(plan, command, principal.actor, { guard })
		if (guard.answer !== null) {
			const { seq, status, revision } = guard.answer
			return { plan_id, cursor: await this.#hub.cursorAt(plan, seq), changed: true, status, revision }
		}
		const { cursor, status, revision } = fold.state
		return { plan_id, cursor, changed, status, revision }
	}

	/**
	 * Recovers every plan that was unfinished when the previous process ended; attempts of this process continue.
	 *
	 * @returns the number of these plans
	 */
	async recover(): Promise<number> {
		const plans = await this.#log.unfinished()
		await this.#recovery.run(plans)
		return plans.length
	}

	/**
	 * Creates a plan from an archive and recovers it if it is managed and unfinished.
	 *
	 * @throws PlanstreamError `conflict` when the plan exists, `bad_request`, `draining`
	 */
	async restore(principal: Principal, archive: Archive): Promise<ImportOutput> {
		const imported = await this.#hub.restore(principal, archive)
		const plan = { tenant: principal.tenant, plan_id: imported.plan_id }
		const state = await this.#hub.state(principal, plan.plan_id)
		if (state?.owner === 'managed' && !isFinished(state.status)) await this.#recoverPlan(plan)
		return imported
	}

	/** Accepts no more work, cuts running attempts (they run again after the next start) and waits for their last events. */
	async stop(): Promise<void> {
		this.#stopped = true
		this.#deadlines.stop()
		this.#metrics.stop()
		this.#recovery.stop()
		this.#dispatcher.close()
		await this.#runner.stop()
	}

	report(): { readonly attempts: number; readonly deadlines: number } {
		return { attempts: this.#runner.running, deadlines: this.#deadlines.waiting + this.#metrics.waiting }
	}

	async #create(principal: Principal, { plan, start, idempotency_key, request }: Creation): Promise<CommandOutput> {
		assertGraph(plan, this.#agents)
		assertInputs(plan.steps, this.#agents)
		return await this.command(principal, plan.plan_id, { kind: 'create', plan, start }, { idempotency_key }, request)
	}

	/** Records attempts of a process that has ended as lost, and queues the steps that are due. */
	async #recoverPlan(plan: PlanKey): Promise<void> {
		const fold = await this.#hub.fold(plan)
		if (fold === null) return
		for (const { step_id, attempt, status } of fold.state.steps) {
			if (status !== 'running' || getOwn(fold.leases, step_id)?.worker_id === this.#runner.workerId) continue
			await this.#dispatcher.dispatch(plan, { kind: 'lost', step_id, attempt, reason: 'worker_lost' }, SYSTEM)
		}
		await this.#dispatcher.dispatch(plan, { kind: 'idle' }, SYSTEM)
	}

	#follow(plan: PlanKey, fold: PlanFold): void {
		this.#runner.follow(plan, fold)
		if (this.#stopped) return
		this.#deadlines.watch(plan, fold)
		this.#metrics.watch(plan, fold)
	}

	#reportFailure(plan: PlanKey, work: Promise<unknown>): void {
		work.catch((thrown: unknown) => {
			this.#onProblem(`A deadline of plan ${plan.plan_id} has passed, but could not be recorded.`, asPlanstreamError(thrown))
		})
	}
}

/** Makes a plan id. An idempotency key always gives the same id, so that a repeated create finds its plan. */
function makePlanId(tenant: string, idempotency_key: string | undefined): string {
	if (idempotency_key === undefined) return `plan_${uuidv7()}`
	return `plan_${createHash('sha256').update(`${tenant}\n${idempotency_key}`).digest('hex').slice(0, 32)}`
}
