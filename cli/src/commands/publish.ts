import { type Accepted, type Planstream, PlanstreamError, type Publisher, type StoredReceipt } from '@planstream/client'
import { asPlanstreamError } from '@planstream/shared'
import { createLogUpdate } from 'log-update'
import { connect } from '../connection.js'
import { EXIT, type ExitCode, UsageError } from '../exit.js'
import { openInput, readEvents, type SentEvent } from '../input.js'
import { note, writeLine } from '../output.js'

export interface PublishOptions {
	readonly url?: string
}

/** A server that was there and stays silent for so long counts as gone. */
const GIVE_UP_MS = 30_000

/** `planstream publish`: adds the events of a file or a pipe to a plan that is run elsewhere, as they come. */
export async function publishCommand(plan_id: string, file: string, { url }: PublishOptions): Promise<ExitCode> {
	await using planstream = await connect(url)
	await assertReachable(planstream, plan_id)
	if (file === '-' && process.stdin.isTTY) note('Reading events from the keyboard, one JSON object a line; Ctrl-D ends.')
	const publisher = planstream.publisher(plan_id, {
		giveUpAfterMs: GIVE_UP_MS,
		onRetry: ({ message }) => note(`Not stored yet: ${message} Trying again.`),
	})
	const show = process.stdout.isTTY ? countReceipts() : listReceipts()
	let stored = 0
	try {
		for await (const group of readEvents(openInput(file))) {
			for await (const receipt of publishGroup(group, publisher)) {
				stored += 1
				await show(receipt)
			}
		}
	} catch (error) {
		if (stored > 0) note(`The first ${stored} events are stored; this is about the rest:`)
		throw error
	}
	if (stored === 0) note('The input held no events; nothing was published.')
	return EXIT.done
}

/** Nobody waits for a server that was never there. */
async function assertReachable(planstream: Planstream, plan_id: string): Promise<void> {
	await planstream.plans.get({ plan_id }).catch((error: unknown) => {
		if (!(error instanceof PlanstreamError) || error.code === 'unreachable') throw error
	})
}

/**
 * What became of each event of a group, in the order of the group.
 *
 * @throws UsageError names the event the server refuses
 */
async function* publishGroup(group: readonly SentEvent[], publisher: Publisher): AsyncGenerator<StoredReceipt> {
	const accepted: Accepted[] = []
	let failure: PlanstreamError | null = null
	try {
		for (const { event } of group) accepted.push(await publisher.publish(event))
	} catch (error) {
		failure = asPlanstreamError(error) // told below, after what was stored before it
	}
	try {
		for (const { stored } of accepted) yield await stored
	} catch (error) {
		throw placed(error, accepted, group)
	}
	if (failure !== null) throw failure
}

/** A refusal that names an event, with the place of that event in the input. */
function placed(error: unknown, accepted: readonly Accepted[], group: readonly SentEvent[]): unknown {
	if (!(error instanceof PlanstreamError)) return error
	const sent = group[accepted.findIndex(({ event_id }) => event_id === error.facts.event_id)]
	return sent === undefined ? error : new UsageError(`${sent.place}: ${error.message}`, { cause: error })
}

type Receipt = (stored: StoredReceipt) => Promise<void>

/** For a program: each event with the number it has in the plan. */
function listReceipts(): Receipt {
	return (stored) => writeLine(JSON.stringify(stored))
}

/** For a person: how many there are by now, drawn once for all that were stored together. */
function countReceipts(): Receipt {
	const line = createLogUpdate(process.stdout)
	let stored = 0
	let duplicates = 0
	let last = 0
	let drawn = true
	const draw = () => {
		drawn = true
		const known = duplicates === 0 ? '' : `, ${duplicates} of which it had before`
		line(`The plan has ${stored} of these events${known}; the last is its event ${last}.`)
	}
	return ({ seq, duplicate }) => {
		stored += 1
		duplicates += duplicate ? 1 : 0
		last = seq
		if (drawn) setImmediate(draw)
		drawn = false
		return Promise.resolve()
	}
}
