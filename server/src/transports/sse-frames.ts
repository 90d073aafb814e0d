import { type StreamItem, textOf } from '../hub/stream-item.js'

/** Milliseconds a client waits before it reconnects: each draws its own, so that a restart does not call all of them at once. */
const RETRY_MIN_MS = 1000
const RETRY_SPREAD_MS = 4000

/** What every stream begins with: a comment, which makes proxies pass the headers on, and the delay before a reconnect. */
export function openingBlock(random: () => number): string {
	return `: planstream\nretry: ${RETRY_MIN_MS + Math.floor(random() * RETRY_SPREAD_MS)}\n\n`
}

/**
 * One item as an event of the stream. Plan events have no `event:` line, so that one `onmessage` gets them all; the id is where an
 * EventSource resumes, which a problem does not move.
 */
export function itemBlock(item: StreamItem): string {
	const data = dataBlock(textOf(item))
	if (item.kind === 'event') return `id: ${item.stored.cursor}\n${data}`
	const { frame, cursor } = item.frame
	return frame === 'problem' ? `event: problem\n${data}` : `event: ${frame}\nid: ${cursor}\n${data}`
}

/** A message without an id. */
export function dataBlock(text: string): string {
	return `data: ${text}\n\n`
}

/** A sign of life for proxies and people, as a comment that no client sees. */
export const HEARTBEAT_BLOCK = ': heartbeat\n\n'
