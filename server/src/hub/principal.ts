import { type Actor, DEFAULT_TENANT } from '@planstream/shared'
import type { Scope } from '@planstream/shared/schemas'

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
