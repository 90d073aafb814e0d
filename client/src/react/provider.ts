import { createContext, createElement, type FunctionComponent, type ReactNode, useContext, useMemo } from 'react'
import type { Planstream } from '../client.js'
import type { ChangesInput } from '../generated/commands.js'
import type { PlanState } from '../generated/plans.js'
import { createListFeed, type ListView, PlanFeed } from './feeds.js'
import { type Frames, pageFrames, type SharedStore } from './shared-store.js'

/** The stores of one client, one for each plan and each list that a component shows. */
class PlanStores {
	readonly #planstream: Planstream
	readonly #frames: Frames
	readonly #plans = new Map<string, PlanFeed>()
	readonly #lists = new Map<string, SharedStore<ListView>>()

	constructor(planstream: Planstream, frames: Frames = pageFrames) {
		this.#planstream = planstream
		this.#frames = frames
	}

	/** Returns the feed of a plan if there is one. Has no effects, so a component may call it while it renders. */
	findPlan(plan_id: string): PlanFeed | undefined {
		return this.#plans.get(plan_id)
	}

	/** @param initial - the state a new feed resumes after; null to begin with the server's state */
	openPlan(plan_id: string, initial: PlanState | null): PlanFeed {
		const known = this.#plans.get(plan_id)
		if (known) return known
		const onIdle = (): void => void this.#plans.delete(plan_id)
		const feed = new PlanFeed({ planstream: this.#planstream, plan_id, initial, onIdle, frames: this.#frames })
		this.#plans.set(plan_id, feed)
		return feed
	}

	findList(key: string): SharedStore<ListView> | undefined {
		return this.#lists.get(key)
	}

	/** @param key - the query as JSON */
	openList(key: string): SharedStore<ListView> {
		const known = this.#lists.get(key)
		if (known) return known
		const onIdle = (): void => void this.#lists.delete(key)
		const query: ChangesInput = JSON.parse(key)
		const feed = createListFeed({ planstream: this.#planstream, query, onIdle, frames: this.#frames })
		this.#lists.set(key, feed)
		return feed
	}
}

interface Shared {
	readonly planstream: Planstream
	readonly feeds: PlanStores
}

const PlanstreamContext = createContext<Shared | null>(null)

export interface PlanstreamProviderProps {
	/** The client for all components below. Closing it is up to you. */
	readonly client: Planstream
	readonly children?: ReactNode
}

/**
 * Provides a client to the components below it.
 *
 * @example
 * ```tsx
 * const planstream = createPlanstreamClient({ url: 'http://localhost:3000' })
 * root.render(<PlanstreamProvider client={planstream}><App /></PlanstreamProvider>)
 * ```
 */
export const PlanstreamProvider: FunctionComponent<PlanstreamProviderProps> = ({ client, children }) => {
	const value = useMemo(() => ({ planstream: client, feeds: new PlanStores(client) }), [client])
	return createElement(PlanstreamContext.Provider, { value }, children)
}

export function useShared(): Shared {
	const shared = useContext(PlanstreamContext)
	if (shared === null) {
		throw new Error('There is no PlanstreamProvider above this component. Wrap your application in one and pass it a client.')
	}
	return shared
}
