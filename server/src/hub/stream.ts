import { type Actor, type ControlFrame, DEFAULT_TENANT, type EndFrame, type PlanEvent, PlanstreamError } from '@planstream/shared'
import type { Scope } from '@planstream/shared/schemas'
import type { StoredEvent } from '../log/event-log.js'

/** One item of a subscription: a stored event, or a control frame that is never stored. */
export type StreamItem =
	| { readonly kind: 'event'; readonly stored: StoredEvent }
	| { readonly kind: 'frame'; readonly frame: ControlFrame }

/** The last item of a stream. */
export interface EndItem {
	readonly kind: 'frame'
	readonly frame: EndFrame
}

const parsed = new WeakMap<StoredEvent, PlanEvent>()

/** Parses a stored event, once per process however many readers it has. */
export function parseEvent(stored: StoredEvent): PlanEvent {
	const known = parsed.get(stored)
	if (known !== undefined) return known
	const event = JSON.parse(stored.text) as PlanEvent
	parsed.set(stored, event)
	return event
}

/** Encodes an item as JSON text, the same on every transport. */
export function encodeItem(item: StreamItem): string {
	return item.kind === 'event' ? item.stored.text : JSON.stringify(item.frame)
}

/** Returns the cursor from which to resume after an item; null when the item does not move the position. */
export function getResumeCursor(item: StreamItem): string | null {
	return item.kind === 'event' ? item.stored.cursor : item.frame.cursor
}

/** The identity behind a call. Its tenant decides which plans exist for it. */
export interface Principal {
	readonly tenant: string
	/** Recorded in the events that this principal causes. */
	readonly actor: Actor
	readonly scopes: ReadonlySet<Scope>
	/** Aborts with a {@link PlanstreamError} `auth_expired` when its credentials expire. @defaultValue they never expire */
	readonly expired?: AbortSignal
}

/** The principal of every request to a server without authentication, which listens on loopback only. */
export const LOCAL_PRINCIPAL: Principal = {
	tenant: DEFAULT_TENANT,
	actor: { type: 'user', id: 'local' },
	scopes: new Set(['plans:read', 'plans:write', 'events:publish', 'admin']),
}

/** Makes the error for an unknown plan. A plan of another tenant is just as unknown as one that never existed. */
export function unknownPlan(plan_id: string): PlanstreamError {
	return new PlanstreamError('not_found', `There is no plan ${plan_id}. Check the id, or create the plan first.`, { plan_id })
}

/** Looks up a key from outside in a record, without inherited properties such as `constructor`. */
export function getOwn<Value>(record: Readonly<Record<string, Value>>, key: string): Value | undefined {
	return Object.hasOwn(record, key) ? record[key] : undefined
}
