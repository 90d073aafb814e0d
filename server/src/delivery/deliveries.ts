import type { Schedule } from '../connections/schedule.js'
import type { Hub } from '../hub/hub.js'
import type { ReadRequest } from '../hub/plan-reader.js'
import type { Principal } from '../hub/principal.js'
import { keyText } from '../log/bells.js'
import type { PlanKey } from '../log/event-log.js'
import { Delivery, type DeliveryCounts, type DeliveryRoom } from './delivery.js'
import { LivePlan } from './live-plan.js'
import type { Outlet } from './outlet.js'
import { Pace } from './pace.js'

export interface DeliveryReport {
	/** Streams that are open. */
	readonly streams: number
	/** Those whose reader has everything. */
	readonly waiting: number
	/** Plans that have such readers. */
	readonly plans: number
	/** How often a reader had no room for more and was served from the log, since the start. */
	readonly fell_behind: number
	/** Streams that were ended because their reader took nothing, since the start. */
	readonly slow: number
}

interface OpenPlan extends DeliveryRoom {
	readonly plan: PlanKey
	streams: number
}

/** Every stream of plan events, whatever its transport; those of one plan share one loop. */
export class Deliveries {
	readonly #hub: Hub
	readonly #schedule: Schedule
	readonly #clock: () => number
	readonly #plans = new Map<string, OpenPlan>()
	readonly #counts: DeliveryCounts = { fellBehind: 0, slow: 0 }

	/** @param clock - in milliseconds, never set back */
	constructor(hub: Hub, schedule: Schedule, clock: () => number) {
		this.#hub = hub
		this.#schedule = schedule
		this.#clock = clock
	}

	/** Begins to deliver a plan's events; disposing what it returns ends that without a word. */
	deliver(principal: Principal, plan_id: string, request: ReadRequest, outlet: Outlet): Delivery {
		const open = this.#open({ tenant: principal.tenant, plan_id })
		open.streams++
		const pace = request.max_events_per_s === undefined ? null : new Pace(request.max_events_per_s, this.#schedule)
		const delivery = new Delivery(this.#hub.reader(open.plan, request), outlet, open, pace)
		delivery.readOn()
		return delivery
	}

	report(): DeliveryReport {
		const plans = [...this.#plans.values()]
		const waiting = plans.map(({ live }) => live.waiting)
		return {
			streams: plans.reduce((sum, { streams }) => sum + streams, 0),
			waiting: waiting.reduce((sum, count) => sum + count, 0),
			plans: waiting.filter((count) => count > 0).length,
			fell_behind: this.#counts.fellBehind,
			slow: this.#counts.slow,
		}
	}

	/** What belongs to a plan is there once, however many streams it has. */
	#open(plan: PlanKey): OpenPlan {
		const key = keyText(plan)
		const known = this.#plans.get(key)
		if (known !== undefined) return known
		const leave = (): void => {
			if (--open.streams === 0) this.#plans.delete(key)
		}
		const open: OpenPlan = { plan, live: this.#live(plan), counts: this.#counts, streams: 0, leave }
		this.#plans.set(key, open)
		return open
	}

	#live(plan: PlanKey): LivePlan {
		return new LivePlan({
			read: (after, limit) => this.#hub.read(plan, after, limit),
			watch: (onGrow) => this.#hub.watch(plan, onGrow),
			schedule: this.#schedule,
			clock: this.#clock,
		})
	}
}
