import type { PlanstreamError } from '@planstream/shared'
import type { Health } from '../ops/health.js'

const COMPONENT = 'store'
const FULL = 'The store is full: it takes nothing new, and reads go on. Free some space.'
const BROKEN = 'The store cannot be used. The log of the server says why.'

/** Says how the store is after it did something, or failed at it. */
export function tellStore(health: Health, failure: PlanstreamError | null): void {
	if (failure === null) health.tell(COMPONENT, 'ok')
	else if (failure.code === 'storage_full') health.tell(COMPONENT, 'degraded', FULL)
	else if (failure.code === 'storage_unavailable') health.tell(COMPONENT, 'down', BROKEN)
}
