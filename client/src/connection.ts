/// <reference lib="esnext.disposable" preserve="true" />

import { disposable } from './disposal.js'
import type { TransportName } from './transports/transport.js'

/**
 * `idle`: no subscription; `connecting`: for the first time; `open`; `reconnecting`: from a failure until it is open again;
 * `closed`: by `close()`.
 */
export type ConnectionState = 'idle' | 'connecting' | 'open' | 'reconnecting' | 'closed'

/** How the client is connected, over all its subscriptions. */
export interface Connection {
	readonly state: ConnectionState
	/** The transport in use or to be tried next. */
	readonly transport: TransportName
	/** Why the client reconnects; null in every other state. */
	readonly error: Error | null
}

/** Ends something; also by `using`. */
export type Release = (() => void) & Disposable

/** What one subscription is doing. */
export type Activity =
	| { readonly state: 'connecting' | 'open'; readonly transport: TransportName }
	| { readonly state: 'reconnecting'; readonly transport: TransportName; readonly error: Error }

const BEST_FIRST = ['open', 'connecting', 'reconnecting'] as const

/** The state of the connection as the best of what the subscriptions do. */
export class ConnectionMonitor {
	readonly #activities = new Map<object, Activity>()
	readonly #listeners = new Set<(connection: Connection) => void>()
	#current: Connection

	constructor(transport: TransportName) {
		this.#current = { state: 'idle', transport, error: null }
	}

	get current(): Connection {
		return this.#current
	}

	/** Says what a subscription does now; null when it has ended. */
	report(subscription: object, activity: Activity | null): void {
		if (activity === null) this.#activities.delete(subscription)
		else this.#activities.set(subscription, activity)
		if (this.#current.state !== 'closed') this.#become(this.#best())
	}

	close(): void {
		this.#become({ ...this.#current, state: 'closed', error: null })
	}

	listen(listener: (connection: Connection) => void): Release {
		this.#listeners.add(listener)
		const release = (): void => void this.#listeners.delete(listener)
		return disposable(release, release)
	}

	#best(): Connection {
		const activities = [...this.#activities.values()]
		for (const state of BEST_FIRST) {
			const activity = activities.find((each) => each.state === state)
			if (activity) return { error: null, ...activity }
		}
		return { state: 'idle', transport: this.#current.transport, error: null }
	}

	#become(next: Connection): void {
		const { state, transport, error } = this.#current
		if (next.state === state && next.transport === transport && next.error === error) return
		this.#current = next
		for (const listener of [...this.#listeners]) listener(next)
	}
}
