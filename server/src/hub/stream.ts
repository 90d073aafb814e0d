import { type Actor, type ControlFrame, DEFAULT_TENANT, type EndFrame, type PlanEvent, PlanstreamError } from '@planstream/shared'
import type { Scope } from '@planstream/shared/schemas'
import type { StoredEvent } from '../log/event-log.js'

/** One item of a subscription: a stored event, or a control frame that is never stored. */
export type StreamItem =
	| { readonly kind: 'event'; readonly stored: StoredEvent }
	| { readonly kind: 'frame'; readonly frame: ControlFrame }

/** The last one. */
export interface EndItem {
	readonly kind: 'frame'
	readonly frame: EndFrame
}

const parsed = new WeakMap<StoredEvent, PlanEvent>()

/** The event behind a stored text, parsed once a process however many readers it has. */
export function eventOf(stored: StoredEvent): PlanEvent {
	const known = parsed.get(stored)
	if (known !== undefined) return known
	const event = JSON.parse(stored.text) as PlanEvent
	parsed.set(stored, event)
	return event
}

/** The item as JSON text, the same bytes on every transport. */
export function textOf(item: StreamItem): string {
	return item.kind === 'event' ? item.stored.text : JSON.stringify(item.frame)
}

/** Where a reader resumes that has seen this item; null when the item does not move it. */
export function cursorOf(item: StreamItem): string | null {
	return item.kind === 'event' ? item.stored.cursor : item.frame.cursor
}

/** Who asks. Every service call takes one; the tenant decides which plans exist for them. */
export interface Principal {
	readonly tenant: string
	/** Goes into the events this principal causes. */
	readonly actor: Actor
	readonly scopes: ReadonlySet<Scope>
	/** Aborts with a {@link PlanstreamError} `auth_expired` when its credentials are no longer valid; absent where nothing expires. */
	readonly expired?: AbortSignal
}

/** The principal of every request to a server without authentication, which listens on loopback only. */
export const LOCAL_PRINCIPAL: Principal = {
	tenant: DEFAULT_TENANT,
	actor: { type: 'user', id: 'local' },
	scopes: new Set(['plans:read', 'plans:write', 'events:publish', 'admin']),
}

/** Says that a tenant has no plan of an id; one of another tenant is unknown like one that never was. */
export function unknownPlan(plan_id: string): PlanstreamError {
	return new PlanstreamError('not_found', `There is no plan ${plan_id}. Check the id, or create the plan first.`, { plan_id })
}

/** What a record holds under a key that somebody else chose; never what every object inherits, such as `constructor`. */
export function getOwn<Value>(record: Readonly<Record<string, Value>>, key: string): Value | undefined {
	return Object.hasOwn(record, key) ? record[key] : undefined
}
