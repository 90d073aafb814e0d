import { type Actor, DEFAULT_TENANT } from '@planstream/shared'
import type { Scope } from '@planstream/shared/schemas'

/** The identity behind a call. Its tenant decides which plans exist for it. */
export interface Principal {
	readonly tenant: string
	/** Recorded in the events that this principal causes. */
	readonly actor: Actor
	readonly scopes: ReadonlySet<Scope>
	/** Aborts with a `PlanstreamError` `auth_expired` when its credentials expire. @defaultValue they never expire */
	readonly expired?: AbortSignal
}

/** The principal of every request to a server without authentication, which listens on loopback only. */
export const LOCAL_PRINCIPAL: Principal = {
	tenant: DEFAULT_TENANT,
	actor: { type: 'user', id: 'local' },
	scopes: new Set(['plans:read', 'plans:write', 'events:publish', 'admin', 'operator']),
}
