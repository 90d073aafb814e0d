/** The bound on streams that are open at once. */
export interface StreamSlots {
	/** Takes a slot for a stream without waiting; the returned function releases it. Null if none is free. */
	take(): Promise<(() => void) | null>
}

/** No bound: outside browsers there is no limit on connections. */
const unbounded: StreamSlots = { take: () => Promise.resolve(() => {}) }

/** No slots, because without Web Locks other pages of the browser cannot be counted. */
const none: StreamSlots = { take: () => Promise.resolve(null) }

/** Slots per origin. A browser allows six HTTP/1.1 connections over all its pages; two stay free for everything else. */
const SLOTS = 4

/**
 * Returns the slots for streams to a server. All pages of one origin share them by Web Locks, which the browser releases when a page
 * closes or crashes.
 */
export function getStreamSlots(origin: string): StreamSlots {
	if (!('document' in globalThis || 'importScripts' in globalThis)) return unbounded
	const locks = globalThis.navigator?.locks
	if (locks === undefined) return none
	return {
		take: async () => {
			for (let slot = 0; slot < SLOTS; slot++) {
				const release = await takeLock(locks, `planstream ${origin} ${slot}`)
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
