import { hash } from 'node:crypto'
import {
	type Actor,
	type CommandMark,
	LARGE_EVENT_TYPES,
	type ParsedEvent,
	type PlanEvent,
	PlanstreamError,
	TRANSIENT_EVENT_TYPES,
} from '@planstream/shared'
import { v7 as uuidv7 } from 'uuid'
import type { LogRecord } from '../log/event-log.js'

/** Limits of one event's stored text; see PROTOCOL.md section 7. */
const MAX_EVENT_BYTES = 64 * 1024
const MAX_LARGE_EVENT_BYTES = 1024 * 1024

/** An event on its way into the log: checked by its schema, not yet given a place. */
export interface Draft {
	readonly event: ParsedEvent
	readonly actor: Actor
	/** The event as its producer sent it, which is what "the same event again" compares. */
	readonly sent: unknown
	readonly event_id?: string
	readonly command?: CommandMark
}

/** The record the log keeps of a draft, and the event it will be once it has a sequence number. */
export interface Encoded {
	readonly record: LogRecord
	readonly event: Omit<PlanEvent, 'seq' | 'cursor'>
}

/**
 * Fills in what the producer left open and makes the stored text, once for every reader.
 *
 * @throws PlanstreamError `too_large` when the text is over the limit of its type
 */
export function encode(draft: Draft, plan_id: string, now: string): Encoded {
	const { event_id, event_type, step_id, data, timestamp, attempt } = draft.event
	const event = {
		event_id: draft.event_id ?? event_id ?? uuidv7(),
		event_type,
		plan_id,
		step_id,
		data,
		timestamp: timestamp ?? now,
		// What is undefined is not in the text.
		attempt,
		actor: draft.actor,
		command: draft.command,
	}
	const text = JSON.stringify(event)
	assertSize(text, event)
	const sent_digest = hash('sha1', JSON.stringify(draft.sent), 'hex')
	const transient = TRANSIENT_EVENT_TYPES.has(event_type)
	return { record: { event_id: event.event_id, text, sent_digest, transient }, event }
}

function assertSize(text: string, event: { readonly event_id: string; readonly event_type: ParsedEvent['event_type'] }): void {
	const limit = LARGE_EVENT_TYPES.has(event.event_type) ? MAX_LARGE_EVENT_BYTES : MAX_EVENT_BYTES
	if (text.length * 3 <= limit) return
	const bytes = Buffer.byteLength(text)
	if (bytes <= limit) return
	const { event_id, event_type } = event
	const sentence = `An event of type ${event_type} has ${bytes} bytes; the limit is ${limit}. Store large content elsewhere and name it in the event.`
	throw new PlanstreamError('too_large', sentence, { event_id, event_type, bytes, limit })
}
