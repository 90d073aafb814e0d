import type { Schedule } from '../connections/schedule.js'

/** How many portions a second is cut into. */
const PORTIONS = 10

/** Lets a reader have so many events a second, in portions. Disposing it ends a wait. */
export class Pace implements Disposable {
	/** Events at one time. */
	readonly portion: number
	readonly #perSecond: number
	readonly #schedule: Schedule
	#end: () => void = () => undefined

	constructor(perSecond: number, schedule: Schedule) {
		this.portion = Math.max(1, Math.floor(perSecond / PORTIONS))
		this.#perSecond = perSecond
		this.#schedule = schedule
	}

	/** Waits as long as so many events are to take. */
	async after(events: number): Promise<void> {
		if (events === 0) return
		let resolve = (): void => undefined
		const promise = new Promise<void>((done) => {
			resolve = done
		})
		using _timer = this.#schedule(resolve, (events * 1000) / this.#perSecond)
		this.#end = resolve
		await promise
	}

	[Symbol.dispose](): void {
		this.#end()
	}
}
