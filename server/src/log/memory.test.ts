import { describe, expect, it } from 'vitest'
import { eventLogSuite } from '#test/suites/event-log.suite.js'
import { PLAN, record } from '#test/support/plans/log-records.js'
import { MemoryLog } from './memory.js'
import { openLog } from './open.js'
import { TailLog } from './tail.js'

eventLogSuite('in memory', async () => {
	const log = await openLog({ kind: 'memory' })
	return { log, [Symbol.asyncDispose]: () => log.close() }
})

describe('MemoryLog', () => {
	it('rejects appends that do not fit with storage_full, and accepts them again after a removal', async () => {
		const log = new TailLog(new MemoryLog({ maxCharacters: 200 }))
		await log.append(PLAN, [record('a', { content: 'x'.repeat(100) })])
		const more = () => log.append({ ...PLAN, plan_id: 'more' }, [record('a', { content: 'x'.repeat(100) })])
		await expect(more()).rejects.toMatchObject({ code: 'storage_full', facts: { limit: 200 } })
		expect((await log.read(PLAN, 'start', 1)).events).toHaveLength(1)
		await log.remove(PLAN)
		await more()
	})
})
