/** An order of the load generator to the server under test. */
export type Order =
	/** Publish this many events to a plan without readers, and report the end. */
	| { readonly kind: 'rehearse'; readonly events: number }
	/** Publish until this total is reached, `burst` events per turn of the event loop. */
	| { readonly kind: 'allow'; readonly total: number; readonly burst: number }
	/** Publish one more event at once, with this stamp. */
	| { readonly kind: 'publish'; readonly stamp: number }
	/** Report when all allowed events have been published. */
	| { readonly kind: 'drained' }
	/** Report when this many subscribers are connected. */
	| { readonly kind: 'attach'; readonly subscribers: number }
	/** Report the CPU time of the process. */
	| { readonly kind: 'usage' }
	/** Report the memory of the process after a garbage collection. */
	| { readonly kind: 'memory' }

/** An answer of the server under test. */
export type Report =
	| { readonly kind: 'listening'; readonly port: number }
	| { readonly kind: 'rehearsed' }
	| { readonly kind: 'attached' }
	| { readonly kind: 'drained' }
	| { readonly kind: 'usage'; readonly cpuUs: number }
	| { readonly kind: 'memory'; readonly rssKib: number }
