import { createContext, createElement, type FunctionComponent, type ReactNode, useContext, useMemo } from 'react'
import type { Planstream } from '../client.js'
import { Feeds } from './feeds.js'

interface Shared {
	readonly planstream: Planstream
	readonly feeds: Feeds
}

const PlanstreamContext = createContext<Shared | null>(null)

export interface PlanstreamProviderProps {
	/** The client of all components below. It stays yours to close. */
	readonly client: Planstream
	readonly children?: ReactNode
}

/**
 * Gives a client to the components below it.
 *
 * @example
 * ```tsx
 * const planstream = createPlanstream({ url: 'http://localhost:3000' })
 * root.render(<PlanstreamProvider client={planstream}><App /></PlanstreamProvider>)
 * ```
 */
export const PlanstreamProvider: FunctionComponent<PlanstreamProviderProps> = ({ client, children }) => {
	const value = useMemo(() => ({ planstream: client, feeds: new Feeds(client) }), [client])
	return createElement(PlanstreamContext.Provider, { value }, children)
}

export function useShared(): Shared {
	const shared = useContext(PlanstreamContext)
	if (shared === null) {
		throw new Error('There is no PlanstreamProvider above this component. Put one around your application and give it a client.')
	}
	return shared
}
