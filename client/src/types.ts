import type { SubscribeInput } from './generated/commands.js'
import type { PlanEvent } from './generated/events.js'
import type { ReadyFrame } from './generated/frames.js'

/** How one request is made. */
export interface CallOptions {
	/** Gives up on the answer; the server may have done the work all the same. */
	readonly signal?: AbortSignal | undefined
}

/** How something without an end is watched. */
export interface WatchOptions {
	/** Ends the subscription: the loop over its items ends as if there were no more. */
	readonly signal?: AbortSignal | undefined
}

/** An event of a type that came after this version: where it stands is known, not what it says. */
export type UnknownEvent = Pick<PlanEvent, 'seq' | 'cursor'> & { readonly [field: string]: unknown }

/** What a subscription tells besides its events. */
export interface SubscribeOptions extends WatchOptions {
	/** Called on each (re)connection, before its events, with what the server could do with the position. */
	readonly onReady?: ((frame: ReadyFrame) => void) | undefined
	/**
	 * Called when the position could not be honoured: `frame.reset` says why, and what you have folded so far is to be
	 * replaced by `frame.state`. Events then follow from `frame.from_seq`.
	 */
	readonly onReset?: ((frame: ReadyFrame) => void) | undefined
	/**
	 * Called in its place with each event of a type that came after this version of the SDK, before the next event.
	 * @defaultValue such an event is passed over
	 */
	readonly onUnknown?: ((event: UnknownEvent) => void) | undefined
}

/** Where a query or a command goes; `{name}` in the path stands for the input field of that name. */
export interface Route {
	readonly kind: 'query' | 'mutation'
	readonly method: 'GET' | 'POST' | 'DELETE'
	readonly path: string
}

/** A subscription by its name on WebSocket and its path on SSE. */
export interface StreamRoute {
	readonly name: string
	readonly path: string
}

/** Makes one request and reads its answer. */
export type Calling = <Output>(route: Route, input: object, options?: CallOptions) => Promise<Output>

/** Opens one subscription to what has no position: each connection begins anew. */
export type Watching = <Item>(route: StreamRoute, input: object, options?: WatchOptions) => AsyncGenerator<Item, void, undefined>

/** Opens one subscription to a plan's events. */
export type Subscribing = (
	route: StreamRoute,
	input: SubscribeInput,
	options?: SubscribeOptions,
) => AsyncGenerator<PlanEvent, void, undefined>
