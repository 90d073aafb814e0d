import type { SubscribeInput } from './generated/commands.js'
import type { PlanEvent } from './generated/events.js'
import type { ReadyFrame } from './generated/frames.js'

/** The options of one request. */
export interface CallOptions {
	/** Stops waiting for the response; the server may still do the work. */
	readonly signal?: AbortSignal | undefined
}

/** The options of a subscription. */
export interface WatchOptions {
	/** Ends the subscription; its loop ends as if there were no more items. */
	readonly signal?: AbortSignal | undefined
}

/** An event of a type that is newer than this SDK: its position is known, its meaning is not. */
export type UnknownEvent = Pick<PlanEvent, 'seq' | 'cursor'> & { readonly [field: string]: unknown }

/** The options of a subscription to events, with callbacks for everything but the events. */
export interface SubscribeOptions extends WatchOptions {
	/** Called on each (re)connection, before its events, with the position the server resumes from. */
	readonly onReady?: ((frame: ReadyFrame) => void) | undefined
	/**
	 * Called when the server could not resume from the position. `frame.reset` gives the reason. Replace the state you have folded by
	 * `frame.state`; events follow from `frame.from_seq`.
	 */
	readonly onReset?: ((frame: ReadyFrame) => void) | undefined
	/**
	 * Called with each event of a type that is newer than this SDK, in its place in the order.
	 * @defaultValue such events are skipped
	 */
	readonly onUnknown?: ((event: UnknownEvent) => void) | undefined
}

/**
 * The shape of JSON: a type of scalars, any value, an object by its fields, or a list by its items. Further fields are allowed
 * everywhere, as newer servers send them.
 */
export type Shape = 'string' | 'number' | 'boolean' | 'any' | readonly [Shape] | { readonly [field: string]: Shape }

/** The REST route of a query or a command; `{name}` in the path stands for the input field of that name. */
export interface Route {
	readonly kind: 'query' | 'mutation'
	readonly method: 'GET' | 'POST' | 'DELETE'
	readonly path: string
	/** The shape of the answer. */
	readonly answer: Shape
}

/** The address of a subscription: its name on WebSocket and its path on SSE. */
export interface StreamRoute {
	readonly name: string
	readonly path: string
	/** The shape of an item that is no control frame. */
	readonly item: Shape
}

/** Makes one request and reads the response. */
export type Calling = <Output>(route: Route, input: object, options?: CallOptions) => Promise<Output>

/** Opens a subscription without positions: each connection starts over. */
export type Watching = <Item>(route: StreamRoute, input: object, options?: WatchOptions) => AsyncGenerator<Item, void, undefined>

/** Opens a subscription to the events of a plan. */
export type Subscribing = (
	route: StreamRoute,
	input: SubscribeInput,
	options?: SubscribeOptions,
) => AsyncGenerator<PlanEvent, void, undefined>
