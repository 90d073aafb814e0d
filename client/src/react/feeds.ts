import type { Planstream } from '../client.js'
import type { ChangesInput } from '../generated/commands.js'
import type { PlanState } from '../generated/plans.js'
import { type Frames, pageFrames } from './frames.js'
import { type ListView, listFeed } from './list-feed.js'
import { PlanFeed } from './plan-feed.js'
import type { SharedView } from './shared-view.js'

/** What the components of one client look at, each plan and each list once. It holds only what somebody looks at. */
export class Feeds {
	readonly #planstream: Planstream
	readonly #frames: Frames
	readonly #plans = new Map<string, PlanFeed>()
	readonly #lists = new Map<string, SharedView<ListView>>()

	constructor(planstream: Planstream, frames: Frames = pageFrames) {
		this.#planstream = planstream
		this.#frames = frames
	}

	/** The feed of a plan while there is one: asking changes nothing, so a component may ask while it renders. */
	known(plan_id: string): PlanFeed | undefined {
		return this.#plans.get(plan_id)
	}

	/** @param initial - where a feed that is new goes on; null to begin with what the server says */
	plan(plan_id: string, initial: PlanState | null): PlanFeed {
		const known = this.#plans.get(plan_id)
		if (known) return known
		const onIdle = (): void => void this.#plans.delete(plan_id)
		const feed = new PlanFeed({ planstream: this.#planstream, plan_id, initial, onIdle, frames: this.#frames })
		this.#plans.set(plan_id, feed)
		return feed
	}

	knownList(key: string): SharedView<ListView> | undefined {
		return this.#lists.get(key)
	}

	/** @param key - the query as text */
	list(key: string): SharedView<ListView> {
		const known = this.#lists.get(key)
		if (known) return known
		const onIdle = (): void => void this.#lists.delete(key)
		const query: ChangesInput = JSON.parse(key)
		const feed = listFeed({ planstream: this.#planstream, query, onIdle, frames: this.#frames })
		this.#lists.set(key, feed)
		return feed
	}
}
