import { createHash } from 'node:crypto'
import {
	type Actor,
	asPlanstreamError,
	COMMAND_ID_PREFIX,
	type CommandMark,
	type Failure,
	PlanstreamError,
} from '@planstream/shared'
import { v7 as uuidv7 } from 'uuid'
import type { Hub } from '../hub/hub.js'
import type { CommandAnswer, PlanFold } from '../hub/plan-fold.js'
import type { Decide, Draft } from '../hub/writer.js'
import type { PlanKey } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'
import { getOwn } from '../ops/json.js'
import type { AgentSchemas } from './agent.js'
import { decide } from './rules/decide.js'
import type { Input, Occurrence } from './rules/input.js'

/** Actor of everything that no principal caused. */
export const SYSTEM: Actor = { type: 'system', id: 'planstream' }

/** Delay before a failed write to the store is retried. */
const STORAGE_RETRY_MS = 1000

export interface DispatcherOptions {
	readonly hub: Hub
	/** Milliseconds since 1970. */
	readonly clock: () => number
	/** Uniform from 0 to 1. */
	readonly random: () => number
	readonly schedule: Schedule
	readonly onProblem: (message: string, error?: Error) => void
	readonly onPlanFailed: (plan: PlanKey, error: Failure) => void
	readonly agents: ReadonlyMap<string, AgentSchemas>
	/** Returns the steps of a plan whose agent is still running after its attempt has ended. */
	readonly live: (plan: PlanKey) => ReadonlySet<string>
	/** Called with the plan after each decision except reports. */
	readonly onChange: (plan: PlanKey, fold: PlanFold) => void
}

/** A check before a decision, and a mark on its first event. */
export interface CommandGuard {
	/** Inspects the plan before the decision: throws to reject it, or returns `skip` to change nothing. */
	readonly check: (fold: PlanFold | null) => 'decide' | 'skip'
	/** Marks the command's first event, so that the log remembers its key. */
	readonly mark: { readonly key: string; readonly name: string; readonly digest: string } | null
}

export interface DispatchOptions {
	readonly guard?: CommandGuard
	/** Ids of the decided events, in their order; those that are missing are drawn anew. */
	readonly event_ids?: readonly string[]
}

/** Inputs that make a plan larger, and are refused when it is full. */
const GROWING: ReadonlySet<Input['kind']> = new Set(['create', 'modify', 'report'])

/** Decides what an input does to a plan and appends the events: the only way a managed plan changes. */
export class Dispatcher {
	readonly #options: DispatcherOptions
	#closed = false

	constructor(options: DispatcherOptions) {
		this.#options = options
	}

	/** @throws PlanstreamError whatever {@link decide}, the guard or the hub's commit throws */
	async dispatch(
		plan: PlanKey,
		input: Input,
		actor: Actor,
		{ guard, event_ids = [] }: DispatchOptions = {},
	): Promise<{ changed: boolean; fold: PlanFold }> {
		const { hub, clock, random, agents, live, onChange, onPlanFailed } = this.#options
		const now = clock()
		const draw = random()
		const decideDrafts: Decide = (before) => {
			if (guard?.check(before) === 'skip') return []
			const events = decide(plan.plan_id, before, input, { now, random: draw, live: live(plan), agents })
			const drafts = events.map((event, index) => {
				const draft = { event, actor: attributeTo(event.step_id, actor), sent: event }
				const event_id = event_ids[index]
				return event_id === undefined ? draft : { ...draft, event_id }
			})
			return guard?.mark == null ? drafts : markCommand(drafts, guard.mark)
		}
		const { appended, fold } = await hub.commit(plan, decideDrafts, GROWING.has(input.kind))
		if (fold === null) throw new TypeError('a decision needs a plan or creates one')
		if (input.kind === 'report') return { changed: appended !== null, fold }
		onChange(plan, fold)
		const { status, error } = fold.state
		if (appended !== null && status === 'failed' && error !== null) onPlanFailed(plan, error)
		return { changed: appended !== null, fold }
	}

	/**
	 * Dispatches an occurrence that will not come again: retries while the store is full or unavailable, until the dispatcher is closed.
	 * A report keeps the ids of its events, so that one that was stored without an answer is not stored twice; any other occurrence
	 * changes the state, and is refused when it comes again.
	 *
	 * @throws PlanstreamError whatever {@link dispatch} throws for another reason
	 */
	async dispatchUntilStored(plan: PlanKey, occurrence: Occurrence, actor: Actor): Promise<PlanFold> {
		const { schedule, onProblem } = this.#options
		const event_ids = occurrence.kind === 'report' ? occurrence.events.map(() => uuidv7()) : []
		for (;;) {
			try {
				return (await this.dispatch(plan, occurrence, actor, { event_ids })).fold
			} catch (thrown) {
				const error = asPlanstreamError(thrown)
				if (this.#closed || (error.code !== 'storage_full' && error.code !== 'storage_unavailable')) throw error
				onProblem(`An event of plan ${plan.plan_id} could not be stored; retrying.`, error)
				await new Promise<void>((resolve) => void schedule(resolve, STORAGE_RETRY_MS))
			}
		}
	}

	/** Stops retrying. */
	close(): void {
		this.#closed = true
	}
}

/** Attributes events of the whole plan to the server, even if an agent's report led to them. */
function attributeTo(step_id: string | null, actor: Actor): Actor {
	return step_id === null && actor.type === 'agent' ? SYSTEM : actor
}

function markCommand(drafts: readonly Draft[], { key, name, digest }: NonNullable<CommandGuard['mark']>): Draft[] {
	const command: CommandMark = { name, digest, events: drafts.length }
	return drafts.map((draft, index) => (index === 0 ? { ...draft, event_id: `${COMMAND_ID_PREFIX}${key}`, command } : draft))
}

/** Conditions that any command may carry. */
export interface CommandTerms {
	readonly idempotency_key?: string | undefined
	readonly expected_revision?: number | undefined
}

/** A command with all its arguments: two commands under one key are the same if these are equal. */
export interface CommandRequest {
	readonly name: string
	readonly [field: string]: unknown
}

/** Recognises a repeated command by its key, and rejects one based on an outdated revision. */
export class IdempotencyGuard implements CommandGuard {
	/** The first answer, if this is a repetition. */
	answer: CommandAnswer | null = null
	readonly mark: CommandGuard['mark']
	readonly #expected: number | undefined

	constructor(request: CommandRequest, { idempotency_key, expected_revision }: CommandTerms) {
		this.#expected = expected_revision
		const text = JSON.stringify([request, expected_revision ?? null])
		const digest = createHash('sha1').update(text).digest('hex')
		this.mark = idempotency_key === undefined ? null : { key: idempotency_key, name: request.name, digest }
	}

	/** @throws PlanstreamError `idempotency_mismatch`, `stale_revision` */
	check(fold: PlanFold | null): 'decide' | 'skip' {
		this.answer = null
		const known = this.mark === null || fold === null ? undefined : getOwn(fold.commands, this.mark.key)
		if (this.mark !== null && known !== undefined) {
			this.#assertSame(this.mark, known)
			this.answer = known
			return 'skip'
		}
		const revision = fold?.state.revision
		if (revision === undefined || this.#expected === undefined || revision === this.#expected) return 'decide'
		const message = `The plan is at revision ${revision}, not ${this.#expected}. Read its state and decide again.`
		throw new PlanstreamError('stale_revision', message, { revision, expected_revision: this.#expected })
	}

	#assertSame({ key, name, digest }: NonNullable<CommandGuard['mark']>, known: CommandAnswer): void {
		if (known.name === name && known.digest === digest) return
		const before = known.name === name ? `another ${name}` : `a ${known.name}`
		const message = `The idempotency key ${key} was used for ${before}. Use a new key for each new command.`
		throw new PlanstreamError('idempotency_mismatch', message, { idempotency_key: key })
	}
}
