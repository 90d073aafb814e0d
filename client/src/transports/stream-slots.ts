/** How many streams may be open at once. */
export interface StreamSlots {
	/** Takes a place for a stream without waiting; the returned function gives it back. Null: there is none. */
	take(): Promise<(() => void) | null>
}

/** No bound: outside of browsers, connections are not counted. */
const unbounded: StreamSlots = { take: () => Promise.resolve(() => {}) }

/** Without a way to know of the other pages of the browser, none is taken. */
const none: StreamSlots = { take: () => Promise.resolve(null) }

/** A browser has six connections for an origin over HTTP/1.1, in all its pages together; two are left for everything else. */
const PLACES = 4

/**
 * The places for streams to a server. All pages of a browser that come from one origin share them by Web Locks, which a page loses when
 * it is closed or crashes.
 */
export function slotsFor(origin: string): StreamSlots {
	if (!('document' in globalThis || 'importScripts' in globalThis)) return unbounded
	const locks = globalThis.navigator?.locks
	if (locks === undefined) return none
	return {
		take: async () => {
			for (let place = 0; place < PLACES; place++) {
				const release = await takeLock(locks, `planstream ${origin} ${place}`)
				if (release !== null) return release
			}
			return null
		},
	}
}

function takeLock(locks: LockManager, name: string): Promise<(() => void) | null> {
	return new Promise((resolve, reject) => {
		const held = (lock: Lock | null): Promise<void> | undefined => {
			if (lock !== null) return new Promise((release) => resolve(() => release()))
			resolve(null)
			return undefined
		}
		locks.request(name, { ifAvailable: true }, held).catch(reject)
	})
}
