import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, it } from 'vitest'
import { PLAN } from '#test/support/plans/log-records.js'
import { openLog } from './open.js'

/** Appends with many batches in flight and prints each event once it is acknowledged. Runs the built code. */
const WRITER = `
	import { writeSync } from 'node:fs'
	const { openLog } = await import(process.argv[1])
	const log = await openLog({ kind: 'sqlite', directory: process.argv[2] })
	let n = 0
	// The pipe takes nothing while its reader is slow.
	const say = (line) => {
		for (;;) {
			try {
				return writeSync(1, line)
			} catch (error) {
				if (error.code !== 'EAGAIN') throw error
			}
		}
	}
	const write = async () => {
		for (;;) {
			const event_id = 'event-' + n++
			const text = JSON.stringify({ event_id, data: 'x'.repeat(300) })
			const { results, events } = await log.append(${JSON.stringify(PLAN)}, [{ event_id, text, sent_digest: event_id, transient: false }])
			say(results[0].seq + ' ' + events[0].cursor + '\\n')
		}
	}
	for (let writers = 0; writers < 64; writers += 1) write()
`

describe('a killed process', () => {
	it('loses no acknowledged event when it dies while appending', async () => {
		const directory = await mkdtemp(join(tmpdir(), 'planstream-crash-'))
		const built = new URL('../../dist/log/open.js', import.meta.url).href
		const child = spawn(process.execPath, ['--input-type=module', '-e', WRITER, built, directory], {
			stdio: ['ignore', 'pipe', 'inherit'],
		})
		const acknowledged: string[] = []
		const lines = createInterface({ input: child.stdout })
		lines.on('line', (line) => {
			acknowledged.push(line)
			if (acknowledged.length === 2000) child.kill('SIGKILL')
		})
		await once(lines, 'close')

		const log = await openLog({ kind: 'sqlite', directory })
		const cursors = new Map<number, string>()
		for (let after = 0; ; ) {
			const { events } = await log.read(PLAN, { seq: after }, 1000)
			if (events.length === 0) break
			for (const { seq, cursor } of events) {
				after += 1
				expect(seq).toBe(after)
				cursors.set(seq, cursor)
			}
		}
		expect(acknowledged.length).toBeGreaterThanOrEqual(2000)
		for (const line of acknowledged) {
			const [seq, cursor] = line.split(' ')
			expect(cursors.get(Number(seq))).toBe(cursor)
		}
		await log.close()
		await rm(directory, { recursive: true })
	})
})
