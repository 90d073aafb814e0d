import { createHash } from 'node:crypto'
import { type Actor, asPlanstreamError, COMMAND_ID_PREFIX, type CommandMark, PlanstreamError } from '@planstream/shared'
import type { Hub } from '../hub/hub.js'
import type { CommandAnswer, PlanFold } from '../hub/plan-fold.js'
import type { Draft } from '../hub/writer.js'
import type { PlanKey } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'
import { getOwn } from '../ops/records.js'
import type { AgentSchemas } from './agent.js'
import { decide } from './rules/decide.js'
import type { Input, Occurrence } from './rules/input.js'

/** The cause of everything nobody asked for. */
export const SYSTEM: Actor = { type: 'system', id: 'planstream' }

/** Pause before something the store could not take is tried again. */
const STORAGE_RETRY_MS = 1000

export interface DispatcherOptions {
	readonly hub: Hub
	/** Milliseconds since 1970. */
	readonly clock: () => number
	/** Uniform from 0 to 1. */
	readonly random: () => number
	readonly schedule: Schedule
	readonly onProblem: (message: string, error?: Error) => void
	readonly agents: ReadonlyMap<string, AgentSchemas>
	/** Steps of a plan whose agent goes on although its attempt has ended. */
	readonly live: (plan: PlanKey) => ReadonlySet<string>
	/** Told of the plan after each decision but reports. */
	readonly changed: (plan: PlanKey, fold: PlanFold) => void
}

/** What a command adds to its decision. */
export interface CommandGuard {
	/** Looks at the plan before the decision: throws to refuse it, or says `skip` to change nothing. */
	readonly check: (fold: PlanFold | null) => 'decide' | 'skip'
	/** Marks the command's first event, so that the log remembers its key. */
	readonly mark: { readonly key: string; readonly name: string; readonly digest: string } | null
}

/** Decides what an input does to a plan and appends it: the one way a managed plan changes. */
export class Dispatcher {
	readonly #options: DispatcherOptions
	#closed = false

	constructor(options: DispatcherOptions) {
		this.#options = options
	}

	/** @throws PlanstreamError what {@link decide} or the guard refuses with, and what the hub's commit throws */
	async dispatch(plan: PlanKey, input: Input, actor: Actor, guard?: CommandGuard): Promise<{ changed: boolean; fold: PlanFold }> {
		const { hub, clock, random, agents, live, changed } = this.#options
		const now = clock()
		const draw = random()
		const { appended, fold } = await hub.commit(plan, (before) => {
			if (guard?.check(before) === 'skip') return []
			const events = decide(plan.plan_id, before, input, { now, random: draw, live: live(plan), agents })
			const drafts = events.map((event) => ({ event, actor: attributeTo(event.step_id, actor), sent: event }))
			return guard?.mark == null ? drafts : markCommand(drafts, guard.mark)
		})
		if (fold === null) throw new TypeError('every decision is made on a plan or makes one')
		if (input.kind !== 'report') changed(plan, fold)
		return { changed: appended !== null, fold }
	}

	/**
	 * Puts what nobody will ask for a second time: while the store cannot take it, it is tried again until it can or the ledger is closed.
	 *
	 * @throws PlanstreamError what {@link dispatch} throws for another reason
	 */
	async dispatchUntilStored(plan: PlanKey, occurrence: Occurrence, actor: Actor): Promise<PlanFold> {
		const { schedule, onProblem } = this.#options
		for (;;) {
			try {
				return (await this.dispatch(plan, occurrence, actor)).fold
			} catch (thrown) {
				const error = asPlanstreamError(thrown)
				if (this.#closed || (error.code !== 'storage_full' && error.code !== 'storage_unavailable')) throw error
				onProblem(`What happened in plan ${plan.plan_id} could not be stored; it is tried again.`, error)
				await new Promise<void>((resolve) => void schedule(resolve, STORAGE_RETRY_MS))
			}
		}
	}

	/** Gives up what the store cannot take. */
	close(): void {
		this.#closed = true
	}
}

/** What happens to the plan as a whole because of an agent is the server's doing. */
function attributeTo(step_id: string | null, actor: Actor): Actor {
	return step_id === null && actor.type === 'agent' ? SYSTEM : actor
}

function markCommand(drafts: readonly Draft[], { key, name, digest }: NonNullable<CommandGuard['mark']>): Draft[] {
	const command: CommandMark = { name, digest, events: drafts.length }
	return drafts.map((draft, index) => (index === 0 ? { ...draft, event_id: `${COMMAND_ID_PREFIX}${key}`, command } : draft))
}

/** What every command may carry beside what it asks for. */
export interface CommandTerms {
	readonly idempotency_key?: string | undefined
	readonly expected_revision?: number | undefined
}

/** What somebody asked for, in full: two commands under one key are the same when this is. */
export interface CommandRequest {
	readonly name: string
	readonly [field: string]: unknown
}

/** Tells a command that was decided before by its key, and refuses one that rests on an old revision. */
export class IdempotencyGuard implements CommandGuard {
	/** The answer of the first time, when this is a repetition. */
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
