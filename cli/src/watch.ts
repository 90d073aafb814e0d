import { PlanstreamError } from '@planstream/shared'
import { connect } from './connection.js'
import { openDisplay } from './display.js'
import type { ExitCode } from './failure.js'
import { exitCode, follow } from './follow.js'
import { untilInterrupted } from './interrupt.js'

export interface WatchOptions {
	readonly url?: string
	readonly json?: boolean
	readonly after?: string
	readonly follow?: boolean
}

/** `planstream watch`: an existing or coming plan, from its start or from behind a cursor, to its end. */
export async function watchCommand(plan_id: string, options: WatchOptions): Promise<ExitCode> {
	const { url, json = false, after, follow: always = false } = options
	await using planstream = await connect(url)
	await planstream.plans.get({ plan_id }).catch(unlessUnknown)
	using interrupt = untilInterrupted()
	const display = openDisplay({ json: json || after !== undefined })
	try {
		const left = await follow(planstream, { plan_id, after: after ?? 'start', always }, display, interrupt.signal)
		return exitCode(left, interrupt.signal)
	} finally {
		display.close()
	}
}

/** A plan that is not there yet is waited for; any other refusal is told before anything is shown. */
function unlessUnknown(error: unknown): void {
	if (!(error instanceof PlanstreamError && error.code === 'not_found')) throw error
}
