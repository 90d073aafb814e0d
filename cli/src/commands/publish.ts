import { type Accepted, type Planstream, PlanstreamError, type Publisher, type StoredReceipt } from '@planstream/client'
import { asPlanstreamError } from '@planstream/shared'
import { connect } from '../connection.js'
import { EXIT, type ExitCode, UsageError } from '../exit.js'
import { openInput, readEvents, type SentEvent } from '../input.js'
import { LiveArea } from '../live-area.js'
import { canRedraw, note, writeLine } from '../output.js'

export interface PublishOptions {
	readonly url?: string
	readonly json?: boolean
}

/** Time after which a server that stopped answering counts as gone. */
const GIVE_UP_MS = 30_000

/** `planstream publish`: publishes the events of a file or a pipe to an external plan, as they arrive. */
export async function publishCommand(plan_id: string, file: string, { url, json = false }: PublishOptions): Promise<ExitCode> {
	await using planstream = await connect(url)
	await assertReachable(planstream, plan_id)
	if (file === '-' && process.stdin.isTTY)
		note('Reading events from the terminal, one JSON object per line; press Ctrl-D to finish.')
	const publisher = planstream.publisher(plan_id, {
		giveUpAfterMs: GIVE_UP_MS,
		onRetry: ({ message }) => note(`Not stored yet: ${message} Trying again.`),
	})
	const receipts = json ? listReceipts() : countReceipts()
	let stored = 0
	try {
		for await (const group of readEvents(openInput(file))) {
			for await (const receipt of publishGroup(group, publisher)) {
				stored += 1
				await receipts.show(receipt)
			}
		}
	} catch (error) {
		await receipts.close()
		if (stored > 0) note(`The first ${stored} events are stored, the rest is not:`)
		throw error
	}
	await receipts.close()
	if (stored === 0) note('The input contains no events; nothing was published.')
	return EXIT.done
}

/** Fails at once if no server answers; the publisher itself would retry. */
async function assertReachable(planstream: Planstream, plan_id: string): Promise<void> {
	await planstream.plans.get({ plan_id }).catch((error: unknown) => {
		if (!(error instanceof PlanstreamError) || error.code === 'unreachable') throw error
	})
}

/**
 * Publishes a group of events and yields their receipts in the same order.
 *
 * @throws UsageError names the event that the server refuses
 */
async function* publishGroup(group: readonly SentEvent[], publisher: Publisher): AsyncGenerator<StoredReceipt> {
	const accepted: Accepted[] = []
	let failure: PlanstreamError | null = null
	try {
		for (const { event } of group) accepted.push(await publisher.publish(event))
	} catch (error) {
		failure = asPlanstreamError(error) // thrown below, after the receipts of earlier events
	}
	try {
		for (const { stored } of accepted) yield await stored
	} catch (error) {
		throw addLocationOptions(error, accepted, group)
	}
	if (failure !== null) throw failure
}

/** Adds the position in the input to an error that names an event. */
function addLocationOptions(error: unknown, accepted: readonly Accepted[], group: readonly SentEvent[]): unknown {
	if (!(error instanceof PlanstreamError)) return error
	const sent = group[accepted.findIndex(({ event_id }) => event_id === error.facts.event_id)]
	return sent === undefined ? error : new UsageError(`${sent.place}: ${error.message}`, { cause: error })
}

/** Output about stored events. */
interface Receipts {
	show(stored: StoredReceipt): Promise<void>
	close(): Promise<void>
}

/** Prints the receipt of each event as JSON, for programs. */
function listReceipts(): Receipts {
	return { show: (stored) => writeLine(JSON.stringify(stored)), close: () => Promise.resolve() }
}

/** Counts for people: in a terminal the count is redrawn once for all events stored together, elsewhere it is printed at the end. */
function countReceipts(): Receipts {
	const area = canRedraw() ? new LiveArea(process.stdout) : null
	let stored = 0
	let duplicates = 0
	let last = 0
	let drawn = true
	let closed = false
	const describe = () => {
		const known = duplicates === 0 ? '' : `, ${duplicates} of them already stored before`
		return `Stored ${stored} ${stored === 1 ? 'event' : 'events'}${known}; the last one has number ${last}.`
	}
	const draw = () => {
		drawn = true
		if (!closed) area?.draw([describe()])
	}
	return {
		show: ({ seq, duplicate }) => {
			stored += 1
			duplicates += duplicate ? 1 : 0
			last = seq
			if (drawn && area !== null) setImmediate(draw)
			drawn = false
			return Promise.resolve()
		},
		close: async () => {
			closed = true
			area?.close()
			if (stored > 0) await writeLine(describe())
		},
	}
}
