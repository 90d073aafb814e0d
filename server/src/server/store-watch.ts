import { asPlanstreamError, DEFAULT_TENANT } from '@planstream/shared'
import type { Schedule } from '../connections/schedule.js'
import { tellStore } from '../log/store-health.js'
import type { TailLog } from '../log/tail.js'
import type { Health } from '../ops/health.js'

const INTERVAL_MS = 5000

export interface StoreWatchOptions {
	readonly log: TailLog
	readonly health: Health
	readonly schedule: Schedule
}

/** Finds out how the store is when nobody uses it: one that has failed may work again, and one that is idle may have died. */
export class StoreWatch implements Disposable {
	readonly #options: StoreWatchOptions
	#timer: Disposable | null = null
	#stopped = false

	constructor(options: StoreWatchOptions) {
		this.#options = options
	}

	start(): void {
		this.#next()
	}

	/** Rejects while the store cannot do its work. */
	async check(): Promise<void> {
		const { log, health } = this.#options
		try {
			await log.writable()
			await log.list({ tenant: DEFAULT_TENANT, limit: 1 })
			tellStore(health, null)
		} catch (thrown) {
			tellStore(health, asPlanstreamError(thrown))
			throw thrown
		}
	}

	[Symbol.dispose](): void {
		this.#stopped = true
		this.#timer?.[Symbol.dispose]()
	}

	#next(): void {
		if (!this.#stopped) this.#timer = this.#options.schedule(() => void this.#look(), INTERVAL_MS)
	}

	async #look(): Promise<void> {
		try {
			await this.check()
		} catch {
			// The health of the store says so.
		}
		this.#next()
	}
}
