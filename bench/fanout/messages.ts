/** What the load generator tells the server under test. */
export type Order =
	/** Publish so many events to a plan that nobody watches, and say when that is done. */
	| { readonly kind: 'rehearse'; readonly events: number }
	/** Publish until so many events have been published in all, `burst` of them in each turn of the event loop. */
	| { readonly kind: 'allow'; readonly total: number; readonly burst: number }
	/** Publish one more event at once, whatever is under way, with this stamp. */
	| { readonly kind: 'publish'; readonly stamp: number }
	/** Say when everything that was allowed has been published. */
	| { readonly kind: 'drained' }
	/** Say when so many subscribers are attached. */
	| { readonly kind: 'attach'; readonly subscribers: number }
	/** Say how much CPU time the process has used. */
	| { readonly kind: 'usage' }
	/** Say how much memory the process has, after a collection. */
	| { readonly kind: 'memory' }

/** What the server under test answers. */
export type Report =
	| { readonly kind: 'listening'; readonly port: number }
	| { readonly kind: 'rehearsed' }
	| { readonly kind: 'attached' }
	| { readonly kind: 'drained' }
	| { readonly kind: 'usage'; readonly cpuUs: number }
	| { readonly kind: 'memory'; readonly rssKib: number }
