import type { PlanstreamError } from '@planstream/shared'
import type { Health } from '../ops/health.js'
import type { Dropped } from './event-log.js'

const COMPONENT = 'store'
const WAL_COMPONENT = 'write_ahead_log'
const FULL = 'The store is full: it takes nothing new, and reads go on. Free some space.'
const BROKEN = 'The store cannot be used. The log of the server says why.'

/** Says how the store is after it did something, or failed at it. */
export function tellStore(health: Health, failure: PlanstreamError | null): void {
	if (failure === null) health.tell(COMPONENT, 'ok')
	else if (failure.code === 'storage_full') health.tell(COMPONENT, 'degraded', FULL)
	else if (failure.code === 'storage_unavailable') health.tell(COMPONENT, 'down', BROKEN)
}

/** Says whether the store was read whole when it was opened; that does not change before the next start. */
export function tellDropped(health: Health, dropped: Dropped | null): void {
	if (dropped === null) health.tell(WAL_COMPONENT, 'ok')
	else health.tell(WAL_COMPONENT, 'degraded', describeDropped(dropped))
}

/** What was dropped, what it means and what to do. */
export function describeDropped({ frames, commits }: Dropped): string {
	return (
		`The write-ahead log was damaged: ${frames} frames with ${commits} whole commits from the damage on could not be read, so the newest events ` +
		'of that time are missing. Restore a backup; or, to go on with what is left, remove planstream.db-wal.damaged-* and start again.'
	)
}
