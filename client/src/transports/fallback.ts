import type { TransportName } from './transport.js'

/** Which transport the next attempt uses. */
export interface Choice {
	readonly transport: TransportName
	/** Those that may be used, the best first. */
	readonly among: readonly TransportName[]
	/** Whether this client has had a stream over it. */
	readonly proven: boolean
	/** Failures before the stream began, in a row. */
	readonly failures: number
}

/** A transport that has worked gets this many failures before another one is tried; a network may have changed. */
export const PATIENCE = 3

/**
 * WebSocket when there is one, with SSE and polling behind it; or the one that was asked for.
 *
 * @param remembered - what got through lately, to begin with if it may be used
 */
export function firstChoice(
	wanted: 'auto' | TransportName,
	hasWebSocket: boolean,
	remembered: TransportName | null = null,
): Choice {
	const auto: readonly TransportName[] = hasWebSocket ? ['websocket', 'sse', 'poll'] : ['sse', 'poll']
	const among = wanted === 'auto' ? auto : [wanted]
	const transport = among.find((each) => each === remembered) ?? among[0] ?? 'sse'
	return { transport, among, proven: false, failures: 0 }
}

/** A stream began: the choice is remembered. Word from a transport that is no longer chosen changes nothing. */
export function afterStart(choice: Choice, transport: TransportName): Choice {
	return choice.transport === transport ? { ...choice, proven: true, failures: 0 } : choice
}

/**
 * An attempt failed before its stream began.
 *
 * @param heldBack - the answer came to nothing because something on the way holds it back, which polling alone gets around
 */
export function afterFailure(choice: Choice, transport: TransportName, heldBack: boolean): Choice {
	if (choice.transport !== transport) return choice
	const failures = choice.failures + 1
	const next = nextOf(choice, heldBack)
	const patient = failures < (choice.proven ? PATIENCE : 1) && next !== 'poll'
	if (next === transport || patient) return { ...choice, failures }
	return { ...choice, transport: next, proven: false, failures: 0 }
}

/** Polling is the last resort: a server that is merely away leads nobody there. */
function nextOf({ transport, among }: Choice, heldBack: boolean): TransportName {
	if (transport === 'sse' && heldBack && among.includes('poll')) return 'poll'
	const others = among.filter((each) => each !== transport && each !== 'poll')
	return others[0] ?? transport
}
