import { timingSafeEqual } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { PlanstreamError } from '@planstream/shared'
import type { Principal } from '../hub/principal.js'
import type { Schedule } from '../ops/clock.js'
import { type ApiKey, hashKey } from './keys.js'

/** What a timer takes at most; a key that lives longer is looked at again then. */
const MAX_DELAY_MS = 2 ** 31 - 1

export interface KeyRingOptions {
	/** Milliseconds since 1970. */
	readonly clock: () => number
	readonly schedule: Schedule
}

/** The keys that are valid now, and who holds them. */
export class KeyRing implements Disposable {
	readonly #options: KeyRingOptions
	#held: readonly HeldKey[] = []

	constructor(options: KeyRingOptions) {
		this.#options = options
	}

	/** Takes these keys in place of all before. A key that is the same as before goes on; what any other has open ends. */
	replace(keys: readonly ApiKey[]): void {
		const before = new Map(this.#held.map((held) => [held.text, held]))
		this.#held = keys.map((key) => {
			const held = before.get(JSON.stringify(key)) ?? new HeldKey(key, this.#options)
			before.delete(held.text)
			return held
		})
		for (const revoked of before.values()) revoked.expire()
	}

	/** Who holds a key; null for one that is unknown, revoked or over. The time this takes tells nothing of the keys. */
	find(token: string): Principal | null {
		const digest = hashKey(token)
		let found: HeldKey | null = null
		for (const held of this.#held) if (timingSafeEqual(held.digest, digest)) found = held
		return found === null || found.over ? null : found.principal
	}

	[Symbol.dispose](): void {
		for (const held of this.#held) held[Symbol.dispose]()
	}
}

/** One key for as long as it is valid. */
class HeldKey implements Disposable {
	/** Equal for equal keys. */
	readonly text: string
	readonly digest: Buffer
	readonly principal: Principal
	readonly #id: string
	readonly #expiresAt: number
	readonly #options: KeyRingOptions
	readonly #end = new AbortController()
	#timer: Disposable | null = null

	constructor(key: ApiKey, options: KeyRingOptions) {
		const { id, hash, tenant, scopes, expires_at } = key
		this.text = JSON.stringify(key)
		this.digest = Buffer.from(hash, 'hex')
		this.principal = { tenant, actor: { type: 'api_key', id }, scopes: new Set(scopes), expired: this.#end.signal }
		this.#id = id
		this.#expiresAt = expires_at === undefined ? Number.POSITIVE_INFINITY : Date.parse(expires_at)
		this.#options = options
		setMaxListeners(0, this.#end.signal)
		this.#watch()
	}

	get over(): boolean {
		return this.#options.clock() >= this.#expiresAt
	}

	/** Ends everything its holder has open. */
	expire(): void {
		this[Symbol.dispose]()
		const message = `The key ${this.#id} was revoked, changed or is over. Connect again with a valid one.`
		this.#end.abort(new PlanstreamError('auth_expired', message))
	}

	[Symbol.dispose](): void {
		this.#timer?.[Symbol.dispose]()
	}

	#watch(): void {
		const left = this.#expiresAt - this.#options.clock()
		if (left <= 0) this.expire()
		else if (left < Number.POSITIVE_INFINITY) {
			this.#timer = this.#options.schedule(() => this.#watch(), Math.min(left, MAX_DELAY_MS))
		}
	}
}
