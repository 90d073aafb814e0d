import type { Authority } from '../auth/authority.js'
import type { Context } from './context.js'

/** Makes the context of a call from what its adapter gives. */
export type Admission = (ctx: Context) => Context | Promise<Context>

/** Our own transports have asked already. */
export const admitted: Admission = (ctx) => ctx

/**
 * For calls under an application's own adapter. Whose they are says the authority alone, and nothing of the application's context goes
 * further, whatever its fields are called.
 */
export function hostAdmission(authority: Authority): Admission {
	return async (ctx: unknown) => {
		const principal = await authority.identify({ via: 'router', headers: {}, token: null }, ctx)
		const names = typeof ctx === 'object' && ctx !== null ? Object.keys(ctx) : []
		return { ...Object.fromEntries(names.map((name) => [name, undefined])), principal }
	}
}
