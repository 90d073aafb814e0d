import { formatCursor, type ParsedEvent, type PlanOwner, parsePosition } from '@planstream/shared'
import { eventInput } from '@planstream/shared/schemas'
import type { PositionName } from '../../../scripts/docs-verdicts.js'
import { LOCAL_PRINCIPAL } from '../../../server/src/hub/principal.js'
import type { StreamServer } from '../servers/stream-server.js'

/** A plan with a position in it, as described by one row of the table of verdicts. */
export interface PlanAtPosition {
	readonly plan: TestPlan
	readonly after: string
	/** The number of the position; 0 when the row gives none. */
	readonly seq: number
}

const KEPT = 4
const TRIMMED = 3

/** A plan of either owner, written to directly without commands. */
export class TestPlan {
	readonly plan_id: string
	readonly owner: PlanOwner
	/** Its cursors in order, starting with the one before its first event once there is one. */
	readonly cursors: string[] = []
	oldest = 1
	readonly #server: StreamServer

	constructor(server: StreamServer, owner: PlanOwner, plan_id: string) {
		this.#server = server
		this.owner = owner
		this.plan_id = plan_id
	}

	get head(): number {
		return this.cursors.length
	}

	/** Appends these events. */
	async append(...events: readonly Record<string, unknown>[]): Promise<void> {
		for (const event of events) this.cursors.push(await this.#append(eventInput.parse(event)))
	}

	async grow(count: number): Promise<void> {
		for (let added = 0; added < count; added++)
			await this.append({ event_type: 'error', data: { code: 'e', message: `${this.head}` } })
	}

	finish(): Promise<void> {
		return this.append({ event_type: 'plan_completed', data: {} })
	}

	/** Deletes the plan; events appended later recreate it. */
	async remove(): Promise<void> {
		await this.#server.hub.remove(this.#key)
		this.cursors.length = 0
	}

	/** Drops all events so far, at the end of `meanwhile`. */
	async drop(reason: 'trimmed' | 'cleared', meanwhile: () => Promise<void> = () => Promise.resolve()): Promise<void> {
		this.oldest = this.head + 1
		await meanwhile()
		await this.#server.hub.trim(this.#key, this.oldest, reason)
	}

	get #key() {
		return { tenant: LOCAL_PRINCIPAL.tenant, plan_id: this.plan_id }
	}

	async #append(event: ParsedEvent): Promise<string> {
		const { hub } = this.#server
		if (this.owner === 'external')
			return (await hub.publish(LOCAL_PRINCIPAL, { plan_id: this.plan_id, events: [event], sent: [event] })).cursor
		const { appended } = await hub.commit(this.#key, () => [{ event, actor: LOCAL_PRINCIPAL.actor, sent: event }])
		return appended?.events[0]?.cursor ?? ''
	}
}

type Prepare = (plan: TestPlan, other: TestPlan) => Promise<{ readonly after: string; readonly seq?: number }>

/** Prepares the plan of each row of the table. */
const PREPARATIONS: Readonly<Record<PositionName, Prepare>> = {
	cursor: live((plan) => cursorAt(plan, 2)),
	integer: live(() => ({ after: '2', seq: 2 })),
	start: live(() => ({ after: 'start' })),
	now: live(() => ({ after: 'now' })),
	garbage: live(() => ({ after: 'nonsense' })),
	garbage_id: live(() => ({ after: 'nonsense' })),
	future_cursor: live((plan) => changed(plan, 2, { seq: KEPT + 9 })),
	future_integer: live(() => ({ after: String(KEPT + 9) })),
	other_plan: live((_plan, other) => cursorAt(other, 2)),
	other_epoch: async (plan) => {
		await plan.grow(KEPT)
		const before = cursorAt(plan, 2)
		await plan.remove()
		await plan.grow(KEPT)
		return before
	},
	fork: live((plan) => changed(plan, 2, { fingerprint: 'f'.repeat(16) })),
	trimmed: trimmed((plan) => cursorAt(plan, 1)),
	trimmed_start: trimmed(() => ({ after: 'start' })),
	cleared: cleared((plan) => cursorAt(plan, 1)),
	cleared_start: cleared(() => ({ after: 'start' })),
	unknown_start: () => Promise.resolve({ after: 'start' }),
	unknown_cursor: async (_plan, other) => {
		await other.grow(KEPT)
		return cursorAt(other, 2)
	},
	unknown_integer: () => Promise.resolve({ after: '3' }),
	finished: finished((plan) => cursorAt(plan, 2)),
	finished_head: finished((plan) => cursorAt(plan, plan.head)),
	finished_integer: finished((plan) => ({ after: String(plan.head), seq: plan.head })),
}

let plans = 0

/** Creates the plan of this owner that the row describes, with the position. */
export async function planAtPosition(server: StreamServer, owner: PlanOwner, name: PositionName): Promise<PlanAtPosition> {
	const plan = new TestPlan(server, owner, `plan_${++plans}`)
	const other = new TestPlan(server, owner, `other_${plans}`)
	const { after, seq = 0 } = await PREPARATIONS[name](plan, other)
	return { plan, after, seq }
}

type Choose = (plan: TestPlan, other: TestPlan) => { readonly after: string; readonly seq?: number }

function live(choose: Choose): Prepare {
	return async (plan, other) => {
		await Promise.all([plan.grow(KEPT), other.grow(KEPT)])
		return choose(plan, other)
	}
}

function trimmed(choose: Choose): Prepare {
	return async (plan, other) => {
		await plan.grow(TRIMMED)
		await plan.drop('trimmed', () => plan.grow(KEPT))
		return choose(plan, other)
	}
}

function cleared(choose: Choose): Prepare {
	return async (plan, other) => {
		await plan.grow(KEPT)
		await plan.finish()
		await plan.drop('cleared')
		return choose(plan, other)
	}
}

function finished(choose: Choose): Prepare {
	return async (plan, other) => {
		await plan.grow(KEPT)
		await plan.finish()
		return choose(plan, other)
	}
}

function cursorAt({ cursors }: TestPlan, seq: number) {
	return { after: cursors[seq - 1] ?? '', seq }
}

/** Returns a cursor of the plan with changed fields. */
function changed(plan: TestPlan, seq: number, fields: { readonly seq?: number; readonly fingerprint?: string }) {
	const position = parsePosition(cursorAt(plan, seq).after)
	if (position === null || typeof position === 'string' || !('epoch' in position)) throw new Error(`There is no event ${seq}.`)
	return { after: formatCursor({ ...position, ...fields }) }
}
