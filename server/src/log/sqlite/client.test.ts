import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { eventLogSuite } from '#test/suites/event-log.suite.js'
import { PLAN, record, records, summary } from '#test/support/plans/log-records.js'
import { toStagedKey } from '../append.js'
import { openLog } from '../open.js'
import { TailLog } from '../tail.js'
import { SqliteLog } from './client.js'
import { openDatabase } from './driver.js'

/** Keeps no event in the tail, so that every read goes to the database. */
const NO_TAIL = { planEvents: 0 }

async function temporaryDirectory() {
	const directory = await mkdtemp(join(tmpdir(), 'planstream-log-'))
	return { directory, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) }
}

async function openIn(options?: ConstructorParameters<typeof TailLog>[1]) {
	const temporary = await temporaryDirectory()
	const { directory } = temporary
	const log = options ? new TailLog(await SqliteLog.open(directory), options) : await openLog({ kind: 'sqlite', directory })
	const dispose = async (): Promise<void> => {
		await log.close()
		await temporary[Symbol.asyncDispose]()
	}
	return { log, directory, [Symbol.asyncDispose]: dispose }
}

/** Creates a database of which only the first page is intact. */
async function damagedPages(file: string): Promise<void> {
	const log = await openLog({ kind: 'sqlite', directory: dirname(file) })
	await log.close()
	await writeFile(file, (await readFile(file)).fill(255, 4096))
}

eventLogSuite('in SQLite', () => openIn())
eventLogSuite('in SQLite with nothing in its tail', () => openIn(NO_TAIL))

describe('the SQLite log', () => {
	it('creates a directory that only its owner may enter, and leaves one file when it is closed', async () => {
		await using temporary = await temporaryDirectory()
		const directory = join(temporary.directory, 'deep', 'data')
		const log = await openLog({ kind: 'sqlite', directory })
		await log.append(PLAN, [record('a')])
		await log.close()
		expect((await stat(directory)).mode & 0o777).toBe(0o700)
		expect(await readdir(directory)).not.toContain('planstream.pid')
	})

	it('is the same log after it was closed and opened again', async () => {
		await using temporary = await temporaryDirectory()
		const { directory } = temporary
		const before = await openLog({ kind: 'sqlite', directory })
		await before.append(PLAN, records('a', 5), { summary: summary(PLAN.plan_id) })
		await before.append(PLAN, [record('b', { transient: true })])
		await before.trim(PLAN, 3, { base: '{"at":2}', reason: 'cleared' })
		const page = await before.read(PLAN, 'start', 100)
		await before.close()

		const after = await openLog({ kind: 'sqlite', directory })
		expect(page.verdict.reset).toBe('cleared')
		expect(await after.read(PLAN, 'start', 100)).toEqual(page)
		expect(await after.head(PLAN)).toEqual(page.head)
		expect(await after.unfinished()).toEqual([PLAN])
		expect((await after.append(PLAN, [record('a-4')])).results).toEqual([{ event_id: 'a-4', seq: 5, duplicate: true }])
		expect((await after.append(PLAN, [record('c')])).results).toEqual([{ event_id: 'c', seq: 7, duplicate: false }])
		await after.close()
	})

	it('finds the end of each log again whatever its newest events were', async () => {
		await using temporary = await temporaryDirectory()
		const { directory } = temporary
		const plans = ['state', 'progress', 'finished'].map((plan_id) => ({ ...PLAN, plan_id }))
		const finished = { summary: summary('finished', { finished: true }) }
		const before = await openLog({ kind: 'sqlite', directory })
		for (const plan of plans) {
			const options = plan.plan_id === 'finished' ? finished : {}
			await before.append(plan, [record('a', { transient: plan.plan_id === 'progress' })], options)
			if (plan.plan_id !== 'state') await before.append(plan, [record('b', { transient: true })])
		}
		const heads = await Promise.all(plans.map((plan) => before.head(plan)))
		await before.close()

		const after = await openLog({ kind: 'sqlite', directory })
		expect(await Promise.all(plans.map((plan) => after.head(plan)))).toEqual(heads)
		expect(heads.map((head) => head?.head_seq)).toEqual([1, 2, 2])
		expect(await after.retirable({ kind: 'large', more_events_than: 1, limit: 9 })).toEqual([plans[2]])
		for (const plan of plans) await after.append(plan, [record('c')])
		expect((await after.read({ ...PLAN, plan_id: 'progress' }, 'start', 9)).events.map(({ seq }) => seq)).toEqual([1, 2, 3])
		await after.close()
	})

	it('drops plans that were being restored when the process ended, and can restore them again', async () => {
		await using temporary = await temporaryDirectory()
		const { directory } = temporary
		const before = await openLog({ kind: 'sqlite', directory })
		await before.append(PLAN, [record('a')])
		await before.begin(toStagedKey(PLAN), { seq: 3, fingerprint: 'f'.repeat(16), base: '{}', reason: 'trimmed' }, 3)
		await before.append(toStagedKey(PLAN), records('b', 300))
		await before.close()

		const after = await openLog({ kind: 'sqlite', directory })
		expect(await after.head(toStagedKey(PLAN))).toBeNull()
		expect(await after.head(PLAN)).toMatchObject({ head_seq: 1 })
		await after.begin(toStagedKey(PLAN), null, 0)
		expect((await after.records(toStagedKey(PLAN), 1, 9))?.records).toEqual([])
		await after.close()
	})

	it('opens a file of the first format, and lists and expires its plans', async () => {
		await using temporary = await temporaryDirectory()
		const { directory } = temporary
		const before = await openLog({ kind: 'sqlite', directory })
		const plans = [{ finished: true }, { owner: 'external' }, { status: 'paused', labels: { team: 'a' }, query: 'Why' }] as const
		for (const [index, fields] of plans.entries()) {
			const plan = summary(`p${index}`, fields)
			await before.append({ ...PLAN, plan_id: plan.plan_id }, [record('a')], { summary: plan })
		}
		await before.close()
		const db = openDatabase(join(directory, 'planstream.db'))
		db.exec(
			'DROP INDEX logs_at_rest; DROP INDEX logs_by_size; DROP INDEX logs_by_age; DROP TABLE artifacts; PRAGMA user_version = 1',
		)
		for (const column of ['at_rest', 'updated_at', 'status', 'labels', 'query_text'])
			db.exec(`ALTER TABLE logs DROP COLUMN ${column}`)
		db.exec('CREATE INDEX logs_by_age ON logs (tenant, created_at, plan_id)')
		db.close()

		const after = await openLog({ kind: 'sqlite', directory })
		const found = (kind: 'finished' | 'open') => after.retirable({ kind, updated_before: '2026-02-01T00:00:00.000Z', limit: 9 })
		expect(await found('finished')).toEqual([{ ...PLAN, plan_id: 'p0' }])
		expect(await found('open')).toEqual([{ ...PLAN, plan_id: 'p1' }])
		const wanted = { status: ['paused'], labels: { team: 'a' }, query: 'WHY' } as const
		const listed = await after.list({ tenant: PLAN.tenant, limit: 9, ...wanted })
		expect(listed.plans.map(({ plan_id }) => plan_id)).toEqual(['p2'])
		expect((await after.append({ ...PLAN, plan_id: 'p2' }, [record('b')])).results[0]?.seq).toBe(2)
		await after.close()
	})

	it('opens a file of the fourth format, and finds the artifacts that its events and snapshots name', async () => {
		await using temporary = await temporaryDirectory()
		const { directory } = temporary
		const before = await openLog({ kind: 'sqlite', directory })
		const list = (...ids: string[]) => ids.map((artifact_id) => ({ artifact_id, name: 'a', media_type: 'text/plain', bytes: 1 }))
		const write = (plan_id: string, owner: 'managed' | 'external', ...data: object[]) => {
			const events = data.map((each, index) => ({ ...record(`e${index}`), text: JSON.stringify({ data: each }) }))
			return before.append({ ...PLAN, plan_id }, events, { summary: summary(plan_id, { owner }) })
		}
		await write('own', 'managed', { artifacts: list('completed') }, { payload: { artifacts: list('reviewed') } })
		await write(
			'text',
			'managed',
			{ artifacts: '"artifact_id":' },
			{ payload: '"artifact_id":' },
			{ artifacts: ['"artifact_id":'] },
		)
		await write('foreign', 'external', { artifacts: list('elsewhere') })
		await write('trimmed', 'managed', { artifacts: list('dropped') }, { artifacts: [] })
		const base = JSON.stringify({ fold: { artifacts: { kept: list('kept')[0] } }, results: {} })
		await before.trim({ ...PLAN, plan_id: 'trimmed' }, 2, { base: `${'0'.repeat(40)} ${base}`, reason: 'trimmed' })
		await before.close()
		const db = openDatabase(join(directory, 'planstream.db'))
		db.exec('DROP TABLE artifacts; PRAGMA user_version = 4')
		db.close()

		const after = await openLog({ kind: 'sqlite', directory })
		const owners = await after.artifactOwners(['completed', 'reviewed', 'elsewhere', 'dropped', 'kept'])
		expect(owners.map(({ artifact_id }) => artifact_id)).toEqual(['completed', 'reviewed', 'kept'])
		await after.remove({ ...PLAN, plan_id: 'own' })
		expect((await after.releasedArtifacts(9)).map(({ artifact_id }) => artifact_id)).toEqual(['completed', 'reviewed'])
		await after.close()
	})

	it('refuses to open a directory twice, and names its owner and the remedy', async () => {
		await using opened = await openIn()
		const { directory } = opened
		const second = openLog({ kind: 'sqlite', directory })
		await expect(second).rejects.toMatchObject({ code: 'storage_unavailable', facts: { directory, pid: process.pid } })
		await expect(second).rejects.toThrow(
			`This process (pid ${process.pid}) has the data directory ${directory} open already. ` +
				'Close that Planstream, or use another directory.',
		)
		expect((await opened.log.append(PLAN, [record('a')])).results[0]?.seq).toBe(1)
	})

	const tables = (version: number) => (file: string) => {
		const db = openDatabase(file)
		db.exec(`CREATE TABLE events (own TEXT); PRAGMA user_version = ${version}`)
		db.close()
	}

	it.each<[string, string, (file: string) => unknown]>([
		['is not a database', 'The file is damaged: restore a backup', (file) => writeFile(file, 'no database. '.repeat(1000))],
		['is damaged after its first page', 'The file is damaged: restore a backup', damagedPages],
		['belongs to another program', 'The file is not a Planstream database: move planstream.db* aside', tables(0)],
		[
			'is of another program that counts its formats',
			'The file is not a Planstream database: move planstream.db* aside',
			tables(3),
		],
		['is a directory', 'Make sure that this user can read and write', (file) => mkdir(file)],
	])('says what to do when the file %s', async (_what, advice, make) => {
		await using temporary = await temporaryDirectory()
		const { directory } = temporary
		const file = join(directory, 'planstream.db')
		await make(file)
		const error: unknown = await openLog({ kind: 'sqlite', directory }).catch((thrown: unknown) => thrown)
		expect(error).toMatchObject({ code: 'storage_unavailable', facts: { directory } })
		expect(String(error)).toMatch(`PlanstreamError: The database ${file} cannot be opened (`)
		expect(String(error)).toMatch(`). ${advice}`)
		expect(await readdir(directory)).not.toContain('planstream.pid')
	})

	it('reports a directory that cannot be created', async () => {
		await using temporary = await temporaryDirectory()
		const { directory } = temporary
		await writeFile(join(directory, 'planstream.db'), '')
		for (const below of [join(directory, 'planstream.db', 'below'), '/proc/planstream/below']) {
			await expect(openLog({ kind: 'sqlite', directory: below })).rejects.toMatchObject({
				code: 'storage_unavailable',
				message: expect.stringContaining('cannot be created'),
			})
		}
	})

	it('reads a page far larger than one turn as one piece', async () => {
		await using opened = await openIn(NO_TAIL)
		const appended = await Promise.all(Array.from({ length: 10 }, (_, n) => opened.log.append(PLAN, records(`w${n}`, 100))))
		const events = appended.flatMap((one) => one.events)
		expect((await opened.log.read(PLAN, 'start', 2000)).events).toEqual(events)
		expect((await opened.log.read(PLAN, { seq: 250 }, 600)).events).toEqual(events.slice(250, 850))
	})

	it('rejects all waiting and later calls when its thread dies', async () => {
		await using temporary = await temporaryDirectory()
		const { directory } = temporary
		const file = join(directory, 'dying.mjs')
		const script = `import { parentPort } from 'node:worker_threads'
			parentPort.postMessage({ problem: null })
			parentPort.once('message', () => { throw new Error('struck by lightning') })`
		await writeFile(file, script)
		const log = new TailLog(await SqliteLog.open(directory, file))
		const lost = {
			code: 'storage_unavailable',
			message: expect.stringMatching(/struck by lightning.*Restart the server/),
			facts: { directory },
		}
		const waiting = [log.append(PLAN, [record('a')]), log.head(PLAN)]
		for (const outcome of await Promise.allSettled(waiting)) expect(outcome).toMatchObject({ status: 'rejected', reason: lost })
		await expect(log.append(PLAN, [record('b')])).rejects.toMatchObject(lost)
		await log.close()
	})
})
