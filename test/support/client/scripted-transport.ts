import type { Delivery, Stream, StreamRequest, Transport, TransportName } from '../../../client/src/transports/transport.js'

/** The script of one connection: its deliveries, then how it ends (an error is thrown, `hang` stays open). */
export interface ScriptedConnection {
	/** Fails before the stream begins. */
	readonly refuse?: Error
	/** Never answers. */
	readonly silent?: boolean
	readonly deliveries?: readonly Delivery[]
	readonly ending?: Error | 'end' | 'hang' | 'finished'
}

/** A transport without a network, for tests of the layers above it. It plays one script per connection. */
export class ScriptedTransport implements Transport {
	readonly requests: StreamRequest[] = []
	/** Connections whose signal has not been aborted. */
	openConnections = 0
	readonly name: TransportName
	readonly #scripts: ScriptedConnection[]

	constructor(name: TransportName, scripts: readonly ScriptedConnection[]) {
		this.name = name
		this.#scripts = [...scripts]
	}

	async open(request: StreamRequest, signal: AbortSignal): Promise<Stream | 'finished'> {
		this.requests.push(request)
		const script = this.#scripts.shift()
		if (script === undefined) throw new Error('The script has no further connection.')
		this.openConnections++
		signal.addEventListener('abort', () => this.openConnections--, { once: true })
		if (script.refuse) throw script.refuse
		if (script.silent) await aborted(signal)
		if (script.ending === 'finished') return 'finished'
		return play(script, signal)
	}
}

async function* play(
	{ deliveries = [], ending = 'end' }: ScriptedConnection,
	signal: AbortSignal,
): AsyncGenerator<Delivery, void, undefined> {
	yield* deliveries
	if (ending instanceof Error) throw ending
	if (ending === 'hang') await aborted(signal).catch(() => {})
}

function aborted(signal: AbortSignal): Promise<never> {
	return new Promise((_, reject) => {
		const fail = (): void => reject(new Error('aborted'))
		if (signal.aborted) fail()
		else signal.addEventListener('abort', fail, { once: true })
	})
}
