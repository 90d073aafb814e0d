import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { BlockList, isIPv6, type Socket } from 'node:net'
import { PlanstreamError } from '@planstream/shared'
import type { AnonymousLimits } from '../ops/limits.js'
import { RateLimiter } from '../ops/rate-limiter.js'

/** Bursts of requests of one address, in seconds of its rate. */
const BURST_S = 3
const RETRY_AFTER_MS = 1000
/** Bucket of all addresses together. */
const TOTAL = 'total'

/** Made once, because refusing must be cheaper than answering. */
const TOO_MANY_REQUESTS = new PlanstreamError(
	'rate_limited',
	'Too many requests without a valid key. Send an API key, or wait and try again.',
	{ retry_after_ms: RETRY_AFTER_MS },
)

/** Networks of this machine and of private use, whose peers may be a proxy that many clients share. */
const PRIVATE_NETWORKS = [
	'127.0.0.0/8',
	'10.0.0.0/8',
	'172.16.0.0/12',
	'192.168.0.0/16',
	'169.254.0.0/16',
	'::1/128',
	'fc00::/7',
	'fe80::/10',
]

/**
 * Reads networks in CIDR notation; an address alone stands for itself.
 *
 * @throws TypeError or RangeError for a text that is none
 */
function readNetworks(texts: readonly string[]): BlockList {
	const networks = new BlockList()
	for (const text of texts) {
		const [address = '', bits] = text.split('/')
		const family = isIPv6(address) ? 'ipv6' : 'ipv4'
		networks.addSubnet(address, bits === undefined ? (family === 'ipv6' ? 128 : 32) : Number(bits), family)
	}
	return networks
}

/** Tells whether a text is a network in CIDR notation, or an address. */
export function isNetwork(text: string): boolean {
	try {
		readNetworks([text])
		return true
	} catch {
		return false
	}
}

const privateNetworks = readNetworks(PRIVATE_NETWORKS)

function contains(networks: BlockList, address: string): boolean {
	return networks.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
}

/** Writes an IPv4 address inside an IPv6 one as itself. */
function unmap(address: string): string {
	return address.replace(/^::ffff:(?=\d+\.)/i, '')
}

/** The address, or with IPv6 its /64 network, within which one user has all addresses. */
function groupOf(address: string): string {
	if (!isIPv6(address)) return address
	const [head = '', tail] = address.split('%', 1)[0]?.split('::') ?? []
	const before = head.split(':').filter(Boolean)
	const after = tail?.split(':').filter(Boolean) ?? []
	const zeros = tail === undefined ? 0 : 8 - before.length - after.length
	const words = [...before, ...Array.from({ length: Math.max(0, zeros) }, () => '0'), ...after].slice(0, 4)
	return words.map((word) => Number.parseInt(word, 16).toString(16)).join(':')
}

/** Finds the address of a client behind proxies that are trusted to tell it. */
export class ClientAddresses {
	readonly #proxies: BlockList | null

	/** @param proxies - networks in CIDR notation; when empty, peers of this machine and of private networks have no address */
	constructor(proxies: readonly string[]) {
		this.#proxies = proxies.length === 0 ? null : readNetworks(proxies)
	}

	/** @returns null for a peer that many clients may share */
	find(peer: string | undefined, { 'x-forwarded-for': forwarded = '' }: IncomingHttpHeaders): string | null {
		if (peer === undefined || peer === '') return null
		const proxies = this.#proxies
		const direct = unmap(peer)
		if (proxies === null) return contains(privateNetworks, direct) ? null : groupOf(direct)
		if (!contains(proxies, direct)) return groupOf(direct)
		const hops = [forwarded].flat().join(',').split(',')
		const client = hops
			.reverse()
			.map((hop) => unmap(hop.trim()))
			.find((hop) => hop !== '' && !contains(proxies, hop))
		return client === undefined ? null : groupOf(client)
	}
}

export interface AnonymousClientsOptions {
	/** The limits in force; they may change. */
	readonly limits: () => AnonymousLimits
	readonly addresses: ClientAddresses
	/** A time in milliseconds that never goes back. */
	readonly clock: () => number
}

/** Sockets and requests without a valid key. They have limits of their own, so that they take nothing from those who have a key. */
export class AnonymousClients {
	readonly #options: AnonymousClientsOptions
	/** Sockets by address, each in the order in which they came. */
	readonly #sockets = new Map<Socket, string | null>()
	readonly #perAddress = new Map<string, Set<Socket>>()
	readonly #buckets: RateLimiter
	readonly #total: RateLimiter

	constructor(options: AnonymousClientsOptions) {
		this.#options = options
		this.#buckets = new RateLimiter(options.clock)
		this.#total = new RateLimiter(options.clock)
	}

	/** Number of open sockets that have shown no key. */
	get size(): number {
		return this.#sockets.size
	}

	/** Counts a socket until it shows a key or closes. Where there is no room, the oldest gives way. */
	add(socket: Socket): void {
		if (this.#sockets.has(socket)) return
		const { limits, addresses } = this.#options
		const { sockets, sockets_per_ip } = limits()
		const address = addresses.find(socket.remoteAddress, {})
		const own = address === null ? undefined : this.#perAddress.get(address)
		if (own !== undefined && own.size >= sockets_per_ip) this.#dropOldest(own.values())
		if (this.#sockets.size >= sockets) this.#dropOldest(this.#sockets.keys())
		this.#sockets.set(socket, address)
		if (address !== null) {
			const known = this.#perAddress.get(address) ?? new Set()
			this.#perAddress.set(address, known.add(socket))
		}
		socket.once('close', () => this.admit(socket))
	}

	/** Counts a socket no longer: it has shown a valid key. */
	admit(socket: Socket): void {
		const address = this.#sockets.get(socket)
		if (!this.#sockets.delete(socket) || address === null || address === undefined) return
		const own = this.#perAddress.get(address)
		own?.delete(socket)
		if (own?.size === 0) this.#perAddress.delete(address)
	}

	/**
	 * Counts a request without a valid key.
	 *
	 * @param isInTotal - false for requests that must be answered while others flood
	 * @throws PlanstreamError `rate_limited`
	 */
	take(request: Pick<IncomingMessage, 'headers' | 'socket'>, isInTotal = true): void {
		const { requests, requests_per_ip } = this.#options.limits()
		const address = this.#find(request)
		const isTaken = address === null || this.#buckets.take(address, requests_per_ip, requests_per_ip * BURST_S)
		if (!isTaken || (isInTotal && !this.#total.take(TOTAL, requests, requests))) throw TOO_MANY_REQUESTS
	}

	/** Counts a request that has been refused already. */
	count(request: Pick<IncomingMessage, 'headers' | 'socket'>): void {
		const { requests, requests_per_ip } = this.#options.limits()
		const address = this.#find(request)
		if (address !== null) this.#buckets.take(address, requests_per_ip, requests_per_ip * BURST_S)
		this.#total.take(TOTAL, requests, requests)
	}

	/**
	 * Refuses a client that has had too many requests refused, before anything is done for it.
	 *
	 * @throws PlanstreamError `rate_limited`
	 */
	assertRoom(request: Pick<IncomingMessage, 'headers' | 'socket'>): void {
		const { requests, requests_per_ip } = this.#options.limits()
		const address = this.#find(request)
		const hasRoom = address === null || this.#buckets.has(address, requests_per_ip, requests_per_ip * BURST_S)
		if (!hasRoom || !this.#total.has(TOTAL, requests, requests)) throw TOO_MANY_REQUESTS
	}

	#find({ socket, headers }: Pick<IncomingMessage, 'headers' | 'socket'>): string | null {
		return this.#options.addresses.find(socket.remoteAddress, headers)
	}

	#dropOldest(sockets: IterableIterator<Socket>): void {
		const { value: oldest } = sockets.next() as IteratorResult<Socket, undefined>
		if (oldest === undefined) return
		this.admit(oldest)
		oldest.destroy()
	}
}
