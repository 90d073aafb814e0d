import type { PlanstreamError } from '@planstream/shared'
import type { CarriedStream } from '../connections/registry.js'
import type { Deliveries } from '../delivery/deliveries.js'
import type { Delivery } from '../delivery/delivery.js'
import type { Outlet, Sink, Wire } from '../delivery/outlet.js'
import type { ReadRequest } from '../hub/plan-reader.js'
import type { Principal } from '../hub/principal.js'
import { textOf } from '../hub/stream-item.js'
import type { AcceptedSocket } from './accepted-socket.js'
import { messageWire } from './framing.js'

/** What a followed plan needs of its session. */
export interface Following {
	readonly accepted: AcceptedSocket
	/** The plan is followed no more. */
	stop(plan_id: string): void
	/** The plan's stream broke off behind a cursor. */
	broken(thrown: unknown, plan_id: string, cursor: string): void
}

/** One plan that a client of the plain WebSocket follows. */
export class FollowedPlan implements Outlet, CarriedStream, Disposable {
	readonly plan_id: string
	readonly #session: Following
	#delivery: Delivery | null = null

	constructor(session: Following, plan_id: string) {
		this.#session = session
		this.plan_id = plan_id
	}

	/** @throws PlanstreamError `bad_request` when the connection carries as many streams as it may */
	follow(deliveries: Deliveries, principal: Principal, request: ReadRequest): void {
		this.#session.accepted.connection.begin(this)
		this.#delivery = deliveries.deliver(principal, this.plan_id, request, this)
	}

	get sink(): Sink {
		return this.#session.accepted
	}

	get wire(): Wire {
		return messageWire('websocket', this.#session.accepted.framings.of(this), textOf)
	}

	get delivered(): number {
		return this.#delivery?.delivered ?? 0
	}

	turn(): Promise<Disposable | null> {
		return this.#session.accepted.turns.take()
	}

	end(reason: PlanstreamError): void {
		this.#delivery?.end(reason)
	}

	ended(): void {
		this.#session.stop(this.plan_id)
	}

	failed(thrown: unknown, cursor: string): void {
		this.#session.broken(thrown, this.plan_id, cursor)
	}

	[Symbol.dispose](): void {
		this.#delivery?.[Symbol.dispose]()
		const { connection, framings } = this.#session.accepted
		connection.over(this)
		framings.over(this)
	}
}
