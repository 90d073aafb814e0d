import { useCallback, useSyncExternalStore } from 'react'
import type { ChangesInput } from '../generated/commands.js'
import { useShared } from './context.js'
import { type ListView, UNKNOWN_LIST } from './list-feed.js'

/**
 * The newest plans that match, live.
 *
 * @param query - two components that ask for the same share one subscription
 * @returns `plans` is null until the list is known; `error` says why nothing more comes
 */
export function usePlans(query: ChangesInput = {}): ListView {
	const { feeds } = useShared()
	const key = JSON.stringify(query)
	const subscribe = useCallback((listener: () => void) => feeds.list(key).subscribe(listener), [feeds, key])
	const current = (): ListView => feeds.knownList(key)?.view ?? UNKNOWN_LIST
	return useSyncExternalStore(subscribe, current, () => UNKNOWN_LIST)
}
