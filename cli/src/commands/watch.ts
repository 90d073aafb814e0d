import { once } from 'node:events'
import type { Connection, CreateInput, Planstream } from '@planstream/client'
import {
	applyEvent,
	initialPlanState,
	isPlanFinished,
	type PlanState,
	type PlanStatus,
	PlanstreamError,
} from '@planstream/shared'
import { connect, createTypeCommand } from '../connection.js'
import { type Display, openDisplay } from '../display.js'
import { EXIT, type ExitCode, UsageError } from '../exit.js'
import { isObject, openInput, readJson } from '../input.js'
import { note } from '../output.js'
import { findServedPlanId } from '../plan-ids.js'

/** Plan to follow, and where to start. */
export interface Followed {
	readonly plan_id: string
	/** A position; `start` for the whole plan. */
	readonly after: string
	/** Whether to continue after the plan's end, because it may be retried. */
	readonly always: boolean
}

/** State of a plan when following it ended. */
export interface Left {
	/** Folded from the received events. */
	readonly state: PlanState
	/** Current status, even if its event came before the start position. */
	readonly status: PlanStatus | 'unknown'
}

/** Shows a plan until it is done or deleted, or the signal aborts. */
export async function follow(
	planstream: Planstream,
	{ plan_id, after, always }: Followed,
	display: Display,
	signal: AbortSignal,
): Promise<Left> {
	let state: PlanState = initialPlanState(plan_id, 'managed')
	let status: Left['status'] = 'unknown'
	const release = planstream.onConnection((connection) => display.say(describeConnection(connection)))
	const events = planstream.plans.events(
		{ plan_id, after, follow: always ? 'always' : 'until_done' },
		{
			signal,
			onReady: ({ plan_status, owner }) => {
				status = plan_status
				if (owner !== null) state = { ...state, owner }
				if (status === 'unknown')
					display.say(
						`Plan ${plan_id} does not exist yet; waiting for it. Ctrl-C stops; planstream list shows the plans there are.`,
					)
			},
			onReset: ({ reset, from_seq, state: known }) => {
				state = known ?? initialPlanState(plan_id, 'managed')
				display.begin(state)
				display.say(`Events are missing here (${reset?.reason ?? 'reset'}); continuing from event ${from_seq}.`)
			},
		},
	)
	try {
		for await (const event of events) {
			state = applyEvent(state, event)
			await display.show(state, event)
		}
	} finally {
		release()
	}
	return { state, status: isPlanFinished(state) ? state.status : status }
}

function describeConnection({ state, error }: Connection): string | null {
	return state === 'reconnecting' ? `Connection lost: ${error?.message ?? 'no reason given.'} Reconnecting.` : null
}

/** Returns the exit code for how following a plan ended. */
export function toExitCode({ status }: Left, signal: AbortSignal): ExitCode {
	if (signal.aborted) return EXIT.interrupted
	return status === 'completed' ? EXIT.done : EXIT.planFailed
}

/** A terminal sends Ctrl-C to npm and to this process, and npm forwards it: a repeat this soon is the same Ctrl-C. */
const SAME_SIGNAL_MS = 300

/** An interruption by Ctrl-C or SIGTERM. */
export interface Interrupt extends Disposable {
	readonly signal: AbortSignal
	/** Resolves when it arrives. */
	readonly happened: Promise<unknown>
}

/**
 * Listens for Ctrl-C and SIGTERM; a second one ends the process at once.
 */
export function listenForInterrupt(): Interrupt {
	const controller = new AbortController()
	const { signal } = controller
	let since = Number.POSITIVE_INFINITY
	const stop = () => {
		if (Date.now() - since > SAME_SIGNAL_MS) process.exit(EXIT.interrupted)
		since = Math.min(since, Date.now())
		controller.abort()
	}
	process.on('SIGINT', stop)
	process.on('SIGTERM', stop)
	const release = () => {
		process.off('SIGINT', stop)
		process.off('SIGTERM', stop)
	}
	return { signal, happened: once(signal, 'abort'), [Symbol.dispose]: release }
}

export interface RunOptions {
	readonly url?: string
	readonly json?: boolean
}

/** `planstream run`: creates a plan on a running server and follows it to its end. */
export async function runCommand(file: string, { url, json = false }: RunOptions): Promise<ExitCode> {
	const spec = await readJson(openInput(file))
	if (!isObject<CreateInput>(spec))
		throw new UsageError(`${file} does not contain a plan. A plan is an object with "query" and "steps".`)
	await using planstream = await connect(url)
	using interrupt = listenForInterrupt()
	const { plan_id } = await planstream.plans.create(spec)
	const typeCommand = createTypeCommand({ url })
	const display = openDisplay({ json, typeCommand })
	try {
		const left = await follow(planstream, { plan_id, after: 'start', always: false }, display, interrupt.signal)
		return toExitCode(left, interrupt.signal)
	} finally {
		await display.close()
		if (interrupt.signal.aborted) note(`The plan keeps running. Follow it again with: ${typeCommand(`watch ${plan_id}`)}`)
	}
}

export interface WatchOptions {
	readonly url?: string
	readonly json?: boolean
	readonly after?: string
	readonly follow?: boolean
}

/** `planstream watch`: follows an existing or future plan from its start, or from a cursor, to its end. */
export async function watchCommand(named: string, options: WatchOptions): Promise<ExitCode> {
	const { url, json = false, after, follow: always = false } = options
	await using planstream = await connect(url)
	const plan_id = await findServedPlanId(planstream, named).catch((error: unknown) => expectLater(error, named))
	using interrupt = listenForInterrupt()
	const display = openDisplay({ json, redraw: after === undefined, typeCommand: createTypeCommand({ url }) })
	try {
		const left = await follow(planstream, { plan_id, after: after ?? 'start', always }, display, interrupt.signal)
		return toExitCode(left, interrupt.signal)
	} finally {
		await display.close()
	}
}

/** Waits for a plan that does not exist yet under its id; any other error is reported before anything is shown. */
function expectLater(error: unknown, plan_id: string): string {
	if (error instanceof PlanstreamError && error.code === 'not_found') return plan_id
	throw error
}
