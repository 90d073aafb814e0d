import type { Place, PlanReader } from '../hub/plan-reader.js'
import type { Outlet } from './outlet.js'

/** Where a plan's loop is in the log. */
export interface LivePoint {
	readonly place: Place
	/** null while the plan has no log. */
	readonly epoch: string | null
	readonly headSeq: number
}

/** A reader as the loop of its plan sees it. */
export interface Member {
	readonly reader: PlanReader
	readonly outlet: Outlet
	/** Has a pace of its own, and always reads by itself. */
	readonly isPaced: boolean
	/** The class whose bytes it gets; null while it reads by itself. */
	seat: Seat | null
	/** Events it has got; while it has a seat, less by what the seat had handed over before. */
	handed: number
	/** Leaves its class and reads by itself, from where its reader is. */
	readOn(): void
	/** The same for want of room. */
	fallBehind(): void
}

/** What holds members at the head of a plan. */
export interface Seat {
	/** Events that were handed over here to everybody since there was anybody. */
	readonly events: number
	/** Lets a member go, whose reader then is where the loop is. */
	leave(member: Member, point: LivePoint): void
}
