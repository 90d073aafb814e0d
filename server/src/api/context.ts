import type { Carrier } from '../connections/carrier.js'
import type { Principal } from '../hub/principal.js'

/** What every procedure knows of its caller, whatever the transport. */
export interface Context {
	readonly principal: Principal
	/** How the caller's connection carries streams; a transport without streams has none. */
	readonly carrier?: Carrier
}
