import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { VerifyOutput } from '@planstream/shared'
import { expect, it, vi } from 'vitest'
import { createTemporaryDirectory, runPlanstream, startServe } from '../../support/cli-process.js'

/** Each test starts several processes. */
vi.setConfig({ testTimeout: 60_000 })

const EVENTS = 20

/** A directory whose server was killed after it had acknowledged events one by one, and the bytes of its write-ahead log. */
async function killed(directory: string): Promise<Buffer> {
	await using server = await startServe(directory)
	for (let index = 1; index <= EVENTS; index += 1) {
		const events = [{ event_type: 'error', event_id: `e${index}`, data: { code: 'x', message: `event ${index}.` } }]
		const answer = await fetch(`${server.url}/api/v1/streaming/plans/p/events`, {
			method: 'POST',
			headers: { 'content-type': 'application/json' },
			body: JSON.stringify({ events }),
		})
		expect(answer.status).toBe(200)
	}
	server.child.kill('SIGKILL')
	await server.end()
	return readFileSync(walOf(directory))
}

const walOf = (directory: string) => path.join(directory, 'planstream.db-wal')
const copiesIn = (directory: string) => readdirSync(directory).filter((name) => name.includes('-wal.damaged-'))
const verify = (directory: string, ...plan_ids: string[]) => runPlanstream(['verify', '--json', ...plan_ids, '--data', directory])

function flip(directory: string, wal: Buffer, at: number): Buffer {
	const bytes = Buffer.from(wal)
	bytes[at] = (bytes[at] ?? 0) ^ 1
	writeFileSync(walOf(directory), bytes)
	return bytes
}

it('verify finds a flipped byte in the write-ahead log of a killed server until its copy is removed', async () => {
	using temporary = createTemporaryDirectory()
	const directory = temporary.path
	const wal = await killed(directory)
	const damaged = flip(directory, wal, wal.indexOf('event 10.'))
	{
		await using server = await startServe(directory)
		const answer = await fetch(`${server.url}/api/v1/admin/plans/p/verify`)
		const detail = expect.stringMatching(/^The write-ahead log was damaged: \d+ frames \(11 commits\) .*Restore a backup/)
		const fault = { seq: 9, reason: 'dropped', detail }
		expect((await answer.json()) as VerifyOutput).toMatchObject({ ok: false, head_seq: 9, events: 9, fault })
		const history = await fetch(`${server.url}/api/v1/streaming/plans/p/history`)
		expect(await history.json()).toMatchObject({ event_count: 9, head_seq: 9 })
		expect(await (await fetch(`${server.url}/metrics`)).text()).toContain(
			'planstream_health{component="write_ahead_log",status="degraded"} 1\n',
		)
		expect((await fetch(`${server.url}/health/ready`)).status).toBe(200)
		expect(server.stderr.match(/The write-ahead log was damaged/g)).toHaveLength(1)
		const { code, json } = await verify(directory)
		expect(code).toBe(1)
		expect(json).toEqual([
			expect.objectContaining({ plan_id: 'system', ok: false, fault: { ...fault, seq: 0 } }),
			expect.objectContaining({ plan_id: 'p', ok: false, fault }),
		])
		server.child.kill('SIGTERM')
		await server.end()
	}
	const [copy = '', ...others] = copiesIn(directory)
	expect(others).toEqual([])
	expect(readFileSync(path.join(directory, copy)).equals(damaged)).toBe(true)
	for (const plan_ids of [[], ['p']]) expect(await verify(directory, ...plan_ids)).toMatchObject({ code: 1 })
	rmSync(path.join(directory, copy))
	expect(await verify(directory)).toMatchObject({ code: 0, json: [{ plan_id: 'p', ok: true, events: 9 }] })
})

it('verify finds a damaged header of the write-ahead log, which hides every plan', async () => {
	using temporary = createTemporaryDirectory()
	const directory = temporary.path
	flip(directory, await killed(directory), 20)
	expect(await verify(directory)).toMatchObject({ code: 1, json: [{ plan_id: 'system', fault: { reason: 'dropped' } }] })
	expect(copiesIn(directory)).toHaveLength(1)
})

it('verify accepts a write-ahead log that ends anywhere', async () => {
	using temporary = createTemporaryDirectory()
	const directory = temporary.path
	const wal = await killed(directory)
	writeFileSync(walOf(directory), wal.subarray(0, wal.indexOf('event 10.')))
	expect(await verify(directory)).toMatchObject({ code: 0, json: [{ plan_id: 'p', ok: true, events: 9 }] })
	expect(copiesIn(directory)).toEqual([])
})
