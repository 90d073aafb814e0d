import { spawnSync } from 'node:child_process'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { expect, it } from 'vitest'
import { CliProcess, createTemporaryDirectory } from '../../support/cli-process.js'
import { Acknowledged, publishUntil, quickClient, watch } from '../../support/streams/crash-traffic.js'

const COMMAND = path.resolve(import.meta.dirname, '../../../cli/dist/main.js')
const MOUNT = 'mount -t tmpfs -o size=8m,mode=700 tmpfs "$0" &&'

/** Runs a script in which `"$@"` is a command and `"$0"` a directory where it sees a small disk of its own. */
const onDisk = (script: string, directory: string, ...command: string[]) =>
	['unshare', '--map-root-user', '--mount', 'sh', '-c', `${MOUNT} ${script}`, directory, ...command] as const
const onSmallDisk = (directory: string, ...command: string[]) => onDisk('exec "$@"', directory, ...command)
const SERVE = [process.execPath, COMMAND, 'serve'] as const

/** Where nobody may make a small disk this is left out; in CI it fails. */
function diskIsMissing(): boolean {
	using directory = createTemporaryDirectory()
	const [program, ...rest] = onSmallDisk(directory.path, 'true')
	return spawnSync(program, rest).status !== 0 && process.env.CI === undefined
}

const note = diskIsMissing() ? ' (left out: `unshare` may not mount a tmpfs here, so nothing is known of full disks)' : ''

const urlIn = (line = '') => /listening on (\S+)$/.exec(line)?.[1] ?? ''

/** Publishes a large event to the plan `q`. */
async function add(url: string) {
	const events = [{ event_type: 'error', data: { code: 'x', message: 'y'.repeat(60_000) } }]
	const headers = { 'content-type': 'application/json' }
	const address = `${url}/api/v1/streaming/plans/q/events`
	const answer = await fetch(address, { method: 'POST', headers, body: JSON.stringify({ events }) })
	return { status: answer.status, body: (await answer.json()) as unknown }
}

/** @returns how many were taken before that */
async function addUntilFull(url: string): Promise<number> {
	for (let taken = 0; taken < 500; taken++) {
		const { status, body } = await add(url)
		if (status === 200) continue
		expect({ status, body }).toMatchObject({ status: 507, body: { code: 'storage_full' } })
		return taken
	}
	throw new Error('The disk did not become full.')
}

it.skipIf(note !== '')(`a server killed on a full disk starts again, reads, and writes once there is space${note}`, async () => {
	using directory = createTemporaryDirectory()
	const env = { PORT: '0', PLANSTREAM_DATA: directory.path, LOG_LEVEL: 'silent' }
	await using server = new CliProcess([], env, onDisk('{ "$@"; exec "$@"; }', directory.path, ...SERVE))
	const inside = (name: string) => `/proc/${server.child.pid}/root${directory.path}/${name}`
	await server.until(({ lines }) => lines.length > 0)
	expect((await add(urlIn(server.lines[0]))).status).toBe(200)
	const filler = inside('filler')
	await writeFile(filler, Buffer.alloc(32 * 1024 * 1024)).catch(() => undefined)
	const taken = 1 + (await addUntilFull(urlIn(server.lines[0])))
	process.kill(Number(await readFile(inside('planstream.pid'), 'utf8')), 'SIGKILL')
	await server.until(({ lines }) => lines.length > 1)

	const url = urlIn(server.lines[1])
	const verified = async () => (await fetch(`${url}/api/v1/admin/plans/q/verify`)).json()
	expect(await verified()).toMatchObject({ ok: true, events: taken, head_seq: taken })
	expect(await addUntilFull(url)).toBe(0)
	expect((await readdir(inside('.'))).filter((name) => name.startsWith('server.json.'))).toEqual([])
	await rm(filler)
	expect((await add(url)).status).toBe(200)
	expect(await verified()).toMatchObject({ ok: true, events: taken + 1 })
	server.child.kill('SIGTERM')
	expect((await server.end()).code).toBe(0)
})

it.skipIf(note !== '')(`a server prints the reason and exits when there is no space for its first file${note}`, async () => {
	using directory = createTemporaryDirectory()
	const env = { PORT: '0', PLANSTREAM_DATA: directory.path, LOG_LEVEL: 'warn' }
	const filled = 'head -c 32m /dev/zero > "$0/filler" 2> /dev/null; exec "$@"'
	await using server = new CliProcess([], env, onDisk(filled, directory.path, ...SERVE))
	expect(await server.end()).toMatchObject({
		code: 1,
		stdout: '',
		stderr: `The database ${directory.path}/planstream.db cannot be opened (database or disk is full). The disk is full: free some space and restart.\n`,
	})
})

it.skipIf(note !== '')(
	`a server on a full disk refuses new data, reads on, and writes again once there is space${note}`,
	async () => {
		using directory = createTemporaryDirectory()
		const env = { PORT: '0', PLANSTREAM_DATA: directory.path, LOG_LEVEL: 'silent' }
		await using server = new CliProcess([], env, onSmallDisk(directory.path, ...SERVE))
		await server.until(({ lines }) => lines.length > 0)
		const url = urlIn(server.lines[0])
		await using planstream = quickClient(url)
		const acknowledged = new Acknowledged()
		const stop = new AbortController()
		const watched = Array.from({ length: 14 }, (_, index) => watch(url, 'p', index))
		const publishing = Array.from({ length: 4 }, (_, index) =>
			publishUntil(stop.signal, planstream, { plan_id: 'p', name: `p${index}`, burst: 8, acknowledged }),
		)
		const ready = async () => {
			const answer = await fetch(`${url}/health/ready`)
			return { status: answer.status, body: (await answer.json()) as unknown }
		}
		await acknowledged.more(50)
		expect(await ready()).toMatchObject({ status: 200 })

		const filler = `/proc/${server.child.pid}/root${directory.path}/filler`
		await writeFile(filler, Buffer.alloc(32 * 1024 * 1024)).catch(() => undefined)
		const added = () => add(url)
		await addUntilFull(url)
		expect(await ready()).toMatchObject({ status: 503, body: { code: 'storage_full' } })
		expect((await fetch(`${url}/health/live`)).status).toBe(200)
		const known = new Map(acknowledged.seqs)
		const seen: string[] = []
		for await (const event of planstream.plans.events({ plan_id: 'p' })) {
			seen.push(event.event_id)
			if (seen.length >= known.size) break
		}
		const last = Math.max(...known.values())
		await expect.poll(() => watched.every(({ event_ids }) => event_ids.length >= last), { timeout: 60_000 }).toBe(true)

		await rm(filler)
		await expect.poll(async () => (await added()).status, { timeout: 60_000 }).toBe(200)
		expect(await ready()).toMatchObject({ status: 200 })
		await acknowledged.more(100)
		stop.abort()
		await Promise.all(publishing)
		await planstream.events.publish({ plan_id: 'p', events: [{ event_type: 'plan_completed', data: {} }] })
		await Promise.all(watched.map(({ ended }) => ended))
		const ids = watched[0]?.event_ids ?? []
		expect(new Set(ids).size).toBe(ids.length)
		expect(ids).toHaveLength(acknowledged.seqs.size + 1)
		for (const [event_id, seq] of acknowledged.seqs) expect(ids[seq - 1]).toBe(event_id)
		for (const { name, event_ids, faults } of watched) {
			expect(faults, name).toEqual([])
			expect(event_ids, name).toEqual(ids)
		}
		expect(await planstream.admin.verify({ plan_id: 'p' })).toMatchObject({ ok: true, head_seq: ids.length })
	},
)
