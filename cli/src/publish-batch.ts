import type { EventInput, PublishOutput } from '@planstream/client'
import { PlanstreamError } from '@planstream/shared'
import { isUnanswered } from './connection.js'
import { UsageError } from './failure.js'
import type { SentEvent } from './read-events.js'

/** Waits between the attempts to send one batch; after them the server counts as gone. */
const PAUSES_MS = [250, 500, 1000, 2000, 4000, 8000]

export interface Publishing {
	readonly publish: (events: readonly EventInput[]) => Promise<PublishOutput>
	/** Waits so many milliseconds. */
	readonly pause: (ms: number) => Promise<unknown>
	/** Whether the server has answered before, so that its silence is worth waiting out. */
	readonly known: boolean
}

/**
 * Publishes one batch. Without an answer the identical batch goes out again: its ids make that harmless. When some of its
 * events are stored already, those are sent by themselves, for the server to compare them, and the new ones after them.
 *
 * @returns the answers, in the order of the log
 * @throws UsageError names the event the server refuses
 */
export async function publishBatch(batch: readonly SentEvent[], publishing: Publishing): Promise<PublishOutput[]> {
	try {
		return [await send(batch, publishing)]
	} catch (error) {
		const stored = storedIds(error)
		if (stored === null) throw error
		const isStored = ({ event }: SentEvent) => stored.has(event.event_id)
		const before = await send(batch.filter(isStored), publishing)
		return [
			before,
			await send(
				batch.filter((sent) => !isStored(sent)),
				publishing,
			),
		]
	}
}

function send(batch: readonly SentEvent[], publishing: Publishing): Promise<PublishOutput> {
	return sendUntilAnswered(batch, publishing).catch((error: unknown) => {
		throw placed(error, batch)
	})
}

async function sendUntilAnswered(batch: readonly SentEvent[], { publish, pause, known }: Publishing): Promise<PublishOutput> {
	const events = batch.map(({ event }) => event)
	for (const ms of known ? PAUSES_MS : []) {
		try {
			return await publish(events)
		} catch (error) {
			if (!(error instanceof PlanstreamError && (error.retryable || isUnanswered(error)))) throw error
			await pause(ms)
		}
	}
	return publish(events)
}

/** The ids of a batch that the log holds already; null when that is not what is wrong. */
function storedIds(error: unknown): ReadonlySet<unknown> | null {
	const duplicates = error instanceof PlanstreamError && error.code === 'conflict' ? error.facts.duplicates : undefined
	return Array.isArray(duplicates) ? new Set(duplicates) : null
}

/** A refusal that names an event of the batch, with the place of that event in the input. */
function placed(error: unknown, batch: readonly SentEvent[]): unknown {
	const path = error instanceof PlanstreamError ? String(error.facts.path) : ''
	const [, index] = /^events[.[](\d+)/.exec(path) ?? []
	const sent = index === undefined ? undefined : batch[Number(index)]
	if (sent === undefined || !(error instanceof PlanstreamError)) return error
	return new UsageError(`${sent.place}: ${error.message}`, { cause: error })
}
