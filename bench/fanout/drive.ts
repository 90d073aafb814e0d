import { setTimeout as delay } from 'node:timers/promises'
import type { Child } from '../child.js'
import { type Audience, MAX_EVENTS } from './audience.js'
import type { Order, Report } from './messages.js'

/** Makes a server publish for some time, and returns when all readers have everything. */
export type Drive = (server: Child<Order, Report>, audience: Audience, seconds: number) => Promise<void>

/** Publishes as fast as the server can, `burst` events per turn of its event loop. Events in flight are bounded, since not every server does that. */
export function saturate(subscribers: number, burst = 1): Drive {
	const window = Math.min(512, Math.max(16, Math.round(4096 / subscribers))) * burst
	return async (server, audience, seconds) => {
		const deadline = performance.now() + seconds * 1000
		let allowed = audience.completed
		const allow = (): void => {
			if (allowed - audience.completed > window / 2 || performance.now() >= deadline) return
			allowed = Math.min(audience.completed + window, MAX_EVENTS)
			server.send({ kind: 'allow', total: allowed, burst })
		}
		audience.onCompleted = allow
		allow()
		await audience.until(() => audience.completed === allowed && (performance.now() >= deadline || allowed === MAX_EVENTS))
	}
}

/** Maximum events in flight when a server does not keep up. */
const MAX_BEHIND = 500

/** Publishes at a fixed rate, whether the server keeps up or not. Each event is stamped with the time of its order. */
export function pace(eventsPerSecond: number): Drive {
	return async (server, audience, seconds) => {
		const before = audience.completed
		const start = performance.now()
		let ordered = 0
		for (let passed = 0; passed < seconds * 1000; passed = performance.now() - start) {
			const due = Math.floor((passed / 1000) * eventsPerSecond)
			while (ordered < due && ordered - (audience.completed - before) < MAX_BEHIND) {
				server.send({ kind: 'publish', stamp: Math.round(performance.now() * 1000) })
				ordered++
			}
			await delay(1)
		}
		await audience.until(() => audience.completed === before + ordered)
	}
}
