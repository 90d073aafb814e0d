import { timingSafeEqual } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { PlanstreamError } from '@planstream/shared'
import type { Principal } from '../hub/principal.js'
import type { Schedule } from '../ops/clock.js'
import { type ApiKey, hashKey } from './keys.js'

/** Longest delay of a timer (about 24.8 days); a key that lives longer is checked again then. */
const MAX_DELAY_MS = 2 ** 31 - 1

export interface KeyRingOptions {
	/** Milliseconds since 1970. */
	readonly clock: () => number
	readonly schedule: Schedule
}

/** The keys that are valid now, and their principals. */
export class KeyRing implements Disposable {
	readonly #options: KeyRingOptions
	#held: readonly HeldKey[] = []

	constructor(options: KeyRingOptions) {
		this.#options = options
	}

	/** Replaces all keys. Unchanged keys stay valid; everything open under any other key ends. */
	replace(keys: readonly ApiKey[]): void {
		const before = new Map(this.#held.map((held) => [held.text, held]))
		this.#held = keys.map((key) => {
			const held = before.get(JSON.stringify(key)) ?? new HeldKey(key, this.#options)
			before.delete(held.text)
			return held
		})
		for (const revoked of before.values()) revoked.expire()
	}

	/** Finds the principal of a key; null if it is unknown, revoked or expired. Its duration reveals nothing about the keys. */
	find(token: string): Principal | null {
		const digest = hashKey(token)
		let found: HeldKey | null = null
		for (const held of this.#held) if (timingSafeEqual(held.digest, digest)) found = held
		return found === null || found.isExpired ? null : found.principal
	}

	[Symbol.dispose](): void {
		for (const held of this.#held) held[Symbol.dispose]()
	}
}

/** One key while it is valid. */
class HeldKey implements Disposable {
	/** JSON of the key, by which equal keys are recognised. */
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

	get isExpired(): boolean {
		return this.#options.clock() >= this.#expiresAt
	}

	/** Ends everything open under this key. */
	expire(): void {
		this[Symbol.dispose]()
		const message = `The key ${this.#id} was revoked or changed, or has expired. Reconnect with a valid one.`
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
