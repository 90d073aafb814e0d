import { once } from 'node:events'
import { expect } from 'vitest'
import { WebSocket } from 'ws'
import { StockTrpcServer } from '../servers/stock-trpc-server.js'
import { StreamServer } from '../servers/stream-server.js'

/** Starts two servers on the same plans: ours, and tRPC's own adapters as the reference. */
export async function startBothServers() {
	const server = await StreamServer.start()
	const stock = await StockTrpcServer.start(server.services)
	return {
		server,
		urls: [server.url, stock.url] as const,
		[Symbol.asyncDispose]: async () => {
			await stock[Symbol.asyncDispose]()
			await server[Symbol.asyncDispose]()
		},
	}
}

/** A client that records its messages unchanged, and finally the close code. */
class RawSocket {
	readonly socket: WebSocket
	readonly got: string[] = []
	readonly closed: Promise<number>

	constructor(url: string, path: string) {
		this.socket = new WebSocket(`${url.replace('http', 'ws')}${path}`)
		this.socket.on('error', () => undefined)
		this.socket.on('message', (data: Buffer, isBinary) => this.got.push(`${isBinary ? 'binary' : 'text'} ${String(data)}`))
		this.closed = new Promise((resolve) => this.socket.once('close', resolve))
	}
}

/** A client of each server; both send the same messages and must receive the same. */
export class SocketPair implements Disposable {
	readonly #pair: readonly RawSocket[]

	private constructor(pair: readonly RawSocket[]) {
		this.#pair = pair
	}

	static async open(urls: readonly string[], path = '/trpc'): Promise<SocketPair> {
		const pair = urls.map((url) => new RawSocket(url, path))
		await Promise.all(pair.map(({ socket }) => once(socket, 'open')))
		return new SocketPair(pair)
	}

	/** Sends text unchanged and other values as JSON. */
	say(message: unknown): void {
		for (const { socket } of this.#pair) socket.send(typeof message === 'string' ? message : JSON.stringify(message))
	}

	subscribe(id: number | string, input: object, more: object = {}): void {
		this.say({ id, jsonrpc: '2.0', method: 'subscription', params: { path: 'plans.events', input, ...more } })
	}

	stop(id: number | string): void {
		this.say({ id, jsonrpc: '2.0', method: 'subscription.stop' })
	}

	/** Returns everything both have received once this many messages match, and checks that it is equal for every id. */
	async hears(meant: string, times = 1): Promise<readonly string[]> {
		const count = (got: readonly string[]) => got.filter((text) => text.includes(meant)).length
		await expect
			.poll(() => this.#pair.map(({ got }) => count(got)), { interval: 1, timeout: 10_000 })
			.toEqual(this.#pair.map(() => times))
		const [ours, stock] = this.#pair.map(({ got }) => got)
		expect(byId(ours)).toEqual(byId(stock))
		return ours ?? []
	}

	/** Returns the close codes of both. */
	closed(): Promise<readonly number[]> {
		return Promise.all(this.#pair.map(({ closed }) => closed))
	}

	[Symbol.dispose](): void {
		for (const { socket } of this.#pair) socket.terminate()
	}
}

/** Groups messages by id: subscriptions interleave differently, but within one there is one order. */
function byId(got: readonly string[] = []): Readonly<Record<string, readonly string[]>> {
	const groups: Record<string, string[]> = {}
	for (const text of got) {
		const id = /^text \{"id":([^,]*)/.exec(text)?.[1] ?? ''
		groups[id] = [...(groups[id] ?? []), hideRequestId(text)]
	}
	return groups
}

/** Replaces the random id by which an answer and the log name a failure. */
function hideRequestId(text: string): string {
	return text.replaceAll(/"request_id":"[^"]+"/g, '"request_id":"-"')
}

const HEADERS = ['content-type', 'cache-control', 'x-accel-buffering', 'vary', 'allow']

/** Sends one request to both servers and checks that status, headers and bytes are equal. */
export async function fetchFromBoth(urls: readonly string[], path: string, init: RequestInit = {}): Promise<string> {
	const [ours, stock] = await Promise.all(
		urls.map(async (url) => {
			const response = await fetch(`${url}${path}`, init)
			const { status, headers } = response
			return { status, headers: HEADERS.map((name) => headers.get(name)), body: hideRequestId(await response.text()) }
		}),
	)
	expect(ours).toEqual(stock)
	return ours?.body ?? ''
}

/** Streams of both servers, read as far as both have sent. */
export class StreamPair implements Disposable {
	readonly #left = new AbortController()
	readonly #got = ['', '']

	static async open(urls: readonly string[], path: string, headers: Record<string, string> = {}): Promise<StreamPair> {
		const pair = new StreamPair()
		await Promise.all(urls.map((url, index) => pair.#read(`${url}${path}`, headers, index)))
		return pair
	}

	/** Returns everything both have received once it contains this text. */
	async gets(meant: string): Promise<string> {
		await expect.poll(() => this.#got.every((text) => text.includes(meant)), { interval: 1, timeout: 10_000 }).toBe(true)
		const [ours, stock] = this.#got.map(hideRequestId)
		expect(ours).toBe(stock)
		return ours ?? ''
	}

	[Symbol.dispose](): void {
		this.#left.abort()
	}

	async #read(url: string, headers: Record<string, string>, index: number): Promise<void> {
		const { body } = await fetch(url, { headers, signal: this.#left.signal })
		void this.#collect(body as unknown as AsyncIterable<Uint8Array>, index).catch(() => undefined)
	}

	async #collect(body: AsyncIterable<Uint8Array>, index: number): Promise<void> {
		const decoder = new TextDecoder()
		for await (const bytes of body) this.#got[index] += decoder.decode(bytes, { stream: true })
	}
}

/** Returns the path of tRPC's events. */
export function trpcPath(input: unknown, procedure = 'plans.events', more: Record<string, string> = {}): string {
	const text = typeof input === 'string' ? input : JSON.stringify(input)
	return `/trpc/${procedure}?${new URLSearchParams({ input: text, ...more })}`
}
