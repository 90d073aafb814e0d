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
import { connect } from '../connection.js'
import { type Display, openDisplay } from '../display.js'
import { EXIT, type ExitCode, UsageError } from '../exit.js'
import { isObject, openInput, readJson } from '../input.js'
import { note } from '../output.js'

/** What to follow, and from where. */
export interface Followed {
	readonly plan_id: string
	/** A position; `start` for the whole plan. */
	readonly after: string
	/** Stay when the plan has come to its end, because it may be retried. */
	readonly always: boolean
}

/** How a plan was left. */
export interface Left {
	/** Folded from the events that were seen. */
	readonly state: PlanState
	/** Where the plan stands, also when the event that says so was before the position. */
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
	const release = planstream.onConnection((connection) => display.say(connectionLine(connection)))
	const events = planstream.plans.events(
		{ plan_id, after, follow: always ? 'always' : 'until_done' },
		{
			signal,
			onReady: ({ plan_status, owner }) => {
				status = plan_status
				if (owner !== null) state = { ...state, owner }
				if (status === 'unknown') display.say(`There is no plan ${plan_id} yet; waiting for its first event.`)
			},
			onReset: ({ reset, from_seq, state: known }) => {
				state = known ?? initialPlanState(plan_id, 'managed')
				display.begin(state)
				display.say(`Events are missing here (${reset?.reason ?? 'reset'}); the plan goes on from event ${from_seq}.`)
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

function connectionLine({ state, error }: Connection): string | null {
	return state === 'reconnecting' ? `Connection lost: ${error?.message ?? 'no reason was given.'} Reconnecting.` : null
}

/** What leaving a plan means for the exit code. */
export function exitCode({ status }: Left, signal: AbortSignal): ExitCode {
	if (signal.aborted) return EXIT.interrupted
	return status === 'completed' ? EXIT.done : EXIT.planFailed
}

/** A terminal sends Ctrl-C to npm and to us, and npm sends it on: what comes again this soon is the same Ctrl-C. */
const SAME_SIGNAL_MS = 300

/** The wish of a person to leave. */
export interface Interrupt extends Disposable {
	readonly signal: AbortSignal
	/** Resolves when it has come. */
	readonly happened: Promise<unknown>
}

/**
 * Listens for Ctrl-C and SIGTERM; a second one ends the process at once. The listeners stay until disposal, because the
 * terminal's cursor is restored by one that ends the process when it is the only one left.
 */
export function untilInterrupted(): Interrupt {
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
