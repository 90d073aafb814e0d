import type { TransportName } from './transport.js'

/** Which transport the next attempt uses. */
export interface Choice {
	readonly transport: TransportName
	/** What to change to when it does not work; null when there is no other. */
	readonly other: TransportName | null
	/** Whether this client has had a stream over it. */
	readonly proven: boolean
	/** Failures before the stream began, in a row. */
	readonly failures: number
}

/** A transport that has worked gets this many failures before the other one is tried; a network may have changed. */
export const PATIENCE = 3

/** WebSocket when there is one, with SSE behind it; or the one that was asked for. */
export function firstChoice(wanted: 'auto' | TransportName, hasWebSocket: boolean): Choice {
	const transport = wanted === 'sse' || !hasWebSocket ? 'sse' : 'websocket'
	const other = wanted === 'auto' && transport === 'websocket' ? 'sse' : null
	return { transport, other, proven: false, failures: 0 }
}

/** A stream began: the choice is remembered. Word from a transport that is no longer chosen changes nothing. */
export function afterStart(choice: Choice, transport: TransportName): Choice {
	return choice.transport === transport ? { ...choice, proven: true, failures: 0 } : choice
}

/** An attempt failed before its stream began. */
export function afterFailure(choice: Choice, transport: TransportName): Choice {
	if (choice.transport !== transport) return choice
	const failures = choice.failures + 1
	if (choice.other === null || failures < (choice.proven ? PATIENCE : 1)) return { ...choice, failures }
	return { transport: choice.other, other: transport, proven: false, failures: 0 }
}
