import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createTemporaryDirectory } from '#test/support/cli-process.js'
import { ManualClock } from '#test/support/manual-clock.js'
import { type OpenedLog, PLAN, record } from '#test/support/plans/log-records.js'
import { manualTime } from '#test/support/plans/test-planstream.js'
import { openLog } from '../log/open.js'
import { ArtifactSweeper } from './artifact-sweeper.js'
import { Artifacts, type TenantArtifacts } from './artifacts.js'

const digestOf = (content: string) => createHash('sha256').update(content).digest('hex')

async function readText(files: TenantArtifacts, artifact_id: string): Promise<string | null> {
	const found = await files.open(artifact_id)
	return found === null ? null : await text(found.content)
}

/** Stores content as an attempt does that ends at once. */
async function store(artifacts: Artifacts, tenant: string, content: string): Promise<string> {
	using hold = artifacts.hold(tenant)
	return (await hold.put('a', Buffer.from(content), 'text/plain')).artifact_id
}

describe('artifacts', () => {
	it('belong to the tenant whose step stored them', async () => {
		using directory = createTemporaryDirectory()
		const artifacts = new Artifacts(directory.path)
		const artifact_id = await store(artifacts, 'acme', 'secret')
		expect(readdirSync(path.join(directory.path, 'artifacts'))).toEqual(['acme'])
		expect(await readText(artifacts.of('acme'), artifact_id)).toBe('secret')
		expect(await readText(artifacts.of('bolt'), artifact_id)).toBeNull()
	})

	it.each(['other bytes', 'sam', 'same, and more', ''])(
		'are healed when they are stored again where the file holds "%s"',
		async (damaged) => {
			using directory = createTemporaryDirectory()
			const artifacts = new Artifacts(directory.path)
			const artifact_id = await store(artifacts, 'acme', 'same')
			writeFileSync(artifacts.of('acme').locate(artifact_id), damaged)
			await store(artifacts, 'acme', 'same')
			expect(await readText(artifacts.of('acme'), artifact_id)).toBe('same')
		},
	)
})

/** Artifacts, their log, and a sweeper whose clock stands still. */
async function openSwept() {
	const directory = createTemporaryDirectory()
	const log: OpenedLog['log'] = await openLog({ kind: 'memory' })
	const artifacts = new Artifacts(directory.path)
	const clock = new ManualClock()
	const startedAt = Date.now()
	const problems: string[] = []
	const { schedule } = manualTime(clock)
	const now = () => startedAt + clock.now()
	const sweeper = new ArtifactSweeper({ log, artifacts, schedule, clock: now, onProblem: (message) => problems.push(message) })
	const name = (plan_id: string, ...ids: string[]) => log.append({ ...PLAN, plan_id }, [{ ...record(plan_id), artifacts: ids }])
	const has = (artifact_id: string) => existsSync(artifacts.of(PLAN.tenant).locate(artifact_id))
	const dispose = async () => {
		await sweeper.stop()
		directory[Symbol.dispose]()
	}
	return { directory: directory.path, log, artifacts, clock, sweeper, problems, name, has, [Symbol.asyncDispose]: dispose }
}

describe('the sweeper of artifacts', () => {
	it('removes a file with the last plan of its tenant that names it', async () => {
		await using opened = await openSwept()
		const { log, artifacts, sweeper, name, has } = opened
		const id = await store(artifacts, PLAN.tenant, 'text')
		await store(artifacts, 'other', 'text')
		await name('first', id)
		await name('second', id)
		await log.append({ tenant: 'other', plan_id: 'first' }, [{ ...record('a'), artifacts: [id] }])
		await log.remove({ ...PLAN, plan_id: 'first' })
		await sweeper.sweep()
		expect(has(id)).toBe(true)
		await log.remove({ ...PLAN, plan_id: 'second' })
		await sweeper.sweep()
		expect(has(id)).toBe(false)
		expect(existsSync(artifacts.of('other').locate(id))).toBe(true)
		expect(await log.releasedArtifacts(9)).toEqual([])
	})

	it('keeps a file while its attempt runs, and removes it when the attempt has ended without naming it', async () => {
		await using opened = await openSwept()
		const { log, artifacts, sweeper, name, has } = opened
		const id = await store(artifacts, PLAN.tenant, 'text')
		await name('first', id)
		const hold = artifacts.hold(PLAN.tenant)
		await hold.put('a', Buffer.from('text'), 'text/plain')
		await log.remove({ ...PLAN, plan_id: 'first' })
		await sweeper.sweep()
		expect(has(id)).toBe(true)
		hold[Symbol.dispose]()
		await sweeper.sweep()
		expect(has(id)).toBe(false)
	})

	it('sweeps soon after a plan was removed and each minute, and searches an hour after its start', async () => {
		await using opened = await openSwept()
		const { directory, log, artifacts, sweeper, clock, name, has } = opened
		const [named, left, fresh] = [digestOf('named'), digestOf('left'), digestOf('fresh')]
		const long = new Date(Date.now() - 60_000)
		for (const id of [named, left]) {
			mkdirSync(path.dirname(artifacts.of(PLAN.tenant).locate(id)), { recursive: true })
			for (const file of [artifacts.of(PLAN.tenant).locate(id), `${artifacts.of(PLAN.tenant).locate(id)}.x.tmp`]) {
				writeFileSync(file, 'text')
				utimesSync(file, long, long)
			}
		}
		await name('first', named)
		sweeper.start()
		clock.advance(3_599_999)
		await sweeper.sweep()
		expect(has(left)).toBe(true)
		clock.advance(1)
		await store(artifacts, PLAN.tenant, 'fresh')
		await sweeper.sweep()
		const files = readdirSync(path.join(directory, 'artifacts'), { recursive: true, encoding: 'utf8' })
		expect(files.filter((file) => file.length > 20)).toEqual([expect.stringContaining(named)])
		expect([has(named), has(left), has(fresh)]).toEqual([true, false, false])
		await log.remove({ ...PLAN, plan_id: 'first' })
		clock.advance(200)
		await expect.poll(() => has(named)).toBe(false)
	})

	it('moves the files of earlier versions to the tenants whose plans name them', async () => {
		await using opened = await openSwept()
		const { directory, log, artifacts, sweeper, name } = opened
		const id = digestOf('old')
		const unnamed = `${id.slice(0, 2)}${'0'.repeat(62)}`
		const former = path.join(directory, 'artifacts', id.slice(0, 2))
		mkdirSync(former, { recursive: true })
		for (const file of [id, unnamed]) writeFileSync(path.join(former, file), 'old')
		await name('first', id)
		await log.append({ tenant: id.slice(0, 2), plan_id: 'p' }, [{ ...record('a'), artifacts: [id] }])
		await sweeper.adopt()
		await sweeper.adopt()
		expect(await readText(artifacts.of(PLAN.tenant), id)).toBe('old')
		expect(await readText(artifacts.of(id.slice(0, 2)), id)).toBe('old')
		expect(readdirSync(former)).toEqual([id.slice(0, 2)])
	})

	it('removes nothing that is named, whatever attempts, removals and sweeps run at the same time', async () => {
		const step = fc.record({ kind: fc.constantFrom('run', 'remove', 'sweep'), plan: fc.nat(3), content: fc.nat(2) })
		await fc.assert(
			fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
				await using opened = await openSwept()
				const { log, artifacts, sweeper, has } = opened
				let events = 0
				const run = async (plan_id: string, content: string) => {
					using hold = artifacts.hold(PLAN.tenant)
					const { artifact_id } = await hold.put('a', Buffer.from(content), 'text/plain')
					await log.append({ ...PLAN, plan_id }, [{ ...record(`e${events++}`), artifacts: [artifact_id] }])
				}
				const works = steps.map(({ kind, plan, content }) => {
					if (kind === 'run') return run(`p${plan}`, `c${content}`)
					return kind === 'sweep' ? sweeper.sweep() : log.remove({ ...PLAN, plan_id: `p${plan}` })
				})
				await Promise.all(works)
				await sweeper.sweep()
				const ids = [0, 1, 2].map((content) => digestOf(`c${content}`))
				const named = (await log.artifactOwners(ids)).map(({ artifact_id }) => artifact_id)
				expect(ids.filter(has)).toEqual(ids.filter((id) => named.includes(id)))
				expect(opened.problems).toEqual([])
			}),
			{ numRuns: 50 },
		)
	})
})
