import { describe, expect, it } from 'vitest'
import { Hub } from '../hub/hub.js'
import { LOCAL_PRINCIPAL } from '../hub/principal.js'
import { parseEvent } from '../hub/stream.js'
import { openLog } from '../log/open.js'
import { Health } from '../ops/health.js'
import { HealthEvents } from './health.js'

describe('HealthEvents', () => {
	it('keep a few hundred events: watchers miss none, and late readers learn the state of every part', async () => {
		const health = new Health()
		const problems: string[] = []
		const onProblem = (message: string) => void problems.push(message)
		const log = await openLog({ kind: 'memory' }, health)
		const hub = new Hub({ log, clock: Date.now, health, onProblem })
		using _events = new HealthEvents({ hub, log, health, onProblem })
		const over = new AbortController()
		const request = { after: 'start', snapshot: false, follow: 'until_done', signal: over.signal } as const
		const watched: (string | undefined)[] = []
		const watching = (async () => {
			for await (const item of hub.subscribe(LOCAL_PRINCIPAL, 'system', request)) {
				const event = item.kind === 'event' ? parseEvent(item.stored) : null
				if (event?.event_type === 'health_update' && event.data.component === 'part') watched.push(event.data.detail)
			}
		})()
		for (let change = 1; change <= 1000; change++) {
			health.report('part', change % 2 === 0 ? 'ok' : 'degraded', `change ${change}`)
			await new Promise<void>((resolve) => void setImmediate(resolve))
		}
		await expect.poll(() => watched.at(-1)).toBe('change 1000')
		over.abort()
		await watching
		expect(new Set(watched).size).toBe(1000)

		const page = await hub.page(LOCAL_PRINCIPAL, 'system', { after: 'start', limit: 1000, waiting: AbortSignal.abort() })
		const latest = new Map(
			page.events
				.map(parseEvent)
				.flatMap((event) => (event.event_type === 'health_update' ? [[event.data.component, event.data]] : [])),
		)
		expect(page.events.length).toBeLessThan(300)
		expect(latest.get('part')).toMatchObject({ status: 'ok', detail: 'change 1000' })
		expect([...latest.keys()].sort()).toEqual(['event_handlers', 'part', 'store'])
		expect(problems).toEqual([])
	})
})
