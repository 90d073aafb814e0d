import type { CreateInput } from '@planstream/client'
import { connect } from './connection.js'
import { openDisplay } from './display.js'
import { type ExitCode, UsageError } from './failure.js'
import { exitCode, follow } from './follow.js'
import { untilInterrupted } from './interrupt.js'
import { note } from './output.js'
import { isObject, openInput, readJson } from './read-input.js'

export interface RunOptions {
	readonly url?: string
	readonly json?: boolean
}

/** `planstream run`: creates a plan on a running server and follows it to its end. */
export async function runCommand(file: string, { url, json = false }: RunOptions): Promise<ExitCode> {
	const spec = await readJson(openInput(file))
	if (!isObject<CreateInput>(spec)) throw new UsageError(`${file} holds no plan. A plan is an object with "query" and "steps".`)
	await using planstream = await connect(url)
	using interrupt = untilInterrupted()
	const { plan_id } = await planstream.plans.create(spec)
	const display = openDisplay({ json })
	try {
		const left = await follow(planstream, { plan_id, after: 'start', always: false }, display, interrupt.signal)
		return exitCode(left, interrupt.signal)
	} finally {
		display.close()
		if (interrupt.signal.aborted) note(`The plan goes on. See it again with: planstream watch ${plan_id}`)
	}
}
