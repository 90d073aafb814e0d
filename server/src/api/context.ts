import type { Principal } from '../hub/principal.js'

/** What every procedure knows of its caller, whatever the transport. */
export interface Context {
	readonly principal: Principal
}
