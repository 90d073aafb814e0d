/// <reference lib="esnext.disposable" preserve="true" />

import { notify } from './callbacks.js'
import { makeDisposable } from './disposal.js'
import type { TransportName } from './transports/transport.js'

/**
 * State of a client's connection. `idle`: there is no subscription; `connecting`: for the first time; `open`; `reconnecting`: from a
 * failure until the stream is open again; `closed`: `close()` was called.
 */
export type ConnectionState = 'idle' | 'connecting' | 'open' | 'reconnecting' | 'closed'

/** The connection of a client, over all its subscriptions. */
export interface Connection {
	readonly state: ConnectionState
	/** The transport in use, or the one to try next. */
	readonly transport: TransportName
	/** The failure that made the client reconnect; null in every other state. */
	readonly error: Error | null
}

/** A function that releases something; it also works with `using`. */
export type Release = (() => void) & Disposable

/** The state of one subscription. */
export type Activity =
	| { readonly state: 'connecting' | 'open'; readonly transport: TransportName }
	| { readonly state: 'reconnecting'; readonly transport: TransportName; readonly error: Error }

const BEST_FIRST = ['open', 'connecting', 'reconnecting'] as const

/** Derives the state of the connection from its subscriptions: the best of theirs. */
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

	/** Records the state of a subscription; null when it has ended. */
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
		return makeDisposable(release, release)
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
		for (const listener of [...this.#listeners]) {
			if (this.#current !== next) return // a listener changed it, and the others have heard of that
			if (this.#listeners.has(listener)) notify(listener, next)
		}
	}
}
