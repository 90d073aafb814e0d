import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { openDatabase } from './driver.js'
import { type DroppedFrames, findDropped, findDroppedFrames, setDamagedAside } from './wal-check.js'

const hasLinks = vi.hoisted(() => ({ yes: true }))

/** A file system that has no second names cannot be mounted here, so the refusal of one is all that is played. */
vi.mock('node:fs', async (original) => {
	const fs = await original<typeof import('node:fs')>()
	const linkSync: typeof fs.linkSync = (...names) => {
		if (!hasLinks.yes) throw Object.assign(new Error('EPERM: operation not permitted, link'), { code: 'EPERM' })
		fs.linkSync(...names)
	}
	return { ...fs, linkSync }
})

const HEADER = 32
const FRAME_HEADER = 24
const directory = mkdtempSync(join(tmpdir(), 'planstream-wal-'))

afterAll(() => rmSync(directory, { recursive: true }))

interface Written {
	readonly wal: Buffer
	readonly pageSize: number
}

let files = 0

function open(name: string, pageSize = 4096) {
	const file = join(directory, `${name}.db`)
	const db = openDatabase(file)
	db.exec(`PRAGMA page_size = ${pageSize}`)
	db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
	return { db, file, [Symbol.dispose]: () => db.close() }
}

/** The log of a database after commits of so many characters each, made by SQLite; at a zero it begins anew over what it holds. */
function write(pageSize: number, commits: readonly number[]): Written {
	files += 1
	using opened = open(`${files}`, pageSize)
	const { db, file } = opened
	db.exec('PRAGMA wal_autocheckpoint = 0; CREATE TABLE texts (body TEXT)')
	const insert = db.prepare('INSERT INTO texts VALUES (?)')
	for (const [index, length] of commits.entries()) {
		if (length === 0) db.exec('PRAGMA wal_checkpoint(RESTART)')
		insert.run(String.fromCodePoint(97 + (index % 26)).repeat(length))
	}
	return { wal: readFileSync(`${file}-wal`), pageSize }
}

const written = fc
	.tuple(fc.constantFrom(512, 4096, 65_536), fc.array(fc.oneof(fc.nat(300), fc.nat(20_000)), { minLength: 2, maxLength: 8 }))
	.map(([pageSize, commits]) => write(pageSize, commits))

/** Where the last frame of this life of the log that makes a commit begins; what stands behind belongs to an earlier life. */
function lastCommit({ wal, pageSize }: Written): number {
	let last = HEADER
	for (let at = HEADER; at < wal.length && wal.subarray(at + 8, at + 16).equals(wal.subarray(16, 24)); ) {
		if (wal.readUInt32BE(at + 4) > 0) last = at
		at += FRAME_HEADER + pageSize
	}
	return last
}

function flipped(wal: Buffer, at: number, mask = 1): Buffer {
	const bytes = Buffer.from(wal)
	bytes[at] = (bytes[at] ?? 0) ^ mask
	return bytes
}

const mask = fc.integer({ min: 1, max: 255 })
const where = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

describe('the check of a write-ahead log', () => {
	it('finds nothing in one that is whole, and in one that was cut anywhere', () => {
		fc.assert(
			fc.property(written, where, ({ wal }, place) => {
				expect(findDroppedFrames(wal)).toBeNull()
				expect(findDroppedFrames(wal.subarray(0, Math.floor(place * wal.length)))).toBeNull()
			}),
			{ numRuns: 40 },
		)
	})

	it('finds every changed byte that has a commit behind its frame', () => {
		fc.assert(
			fc.property(written, fc.array(where, { minLength: 20, maxLength: 20 }), mask, (log, places, bits) => {
				for (const place of places) {
					const at = Math.floor(place * lastCommit(log))
					expect(findDroppedFrames(flipped(log.wal, at, bits)), `byte ${at}`).toMatchObject({ commits: expect.any(Number) })
				}
			}),
			{ numRuns: 30 },
		)
	})

	it('finds every byte of the headers, and tells how much stands behind', () => {
		const { wal, pageSize } = write(4096, [10, 9000, 10, 10])
		const frame = FRAME_HEADER + pageSize
		const count = (wal.length - HEADER) / frame
		for (let at = 0; at < HEADER; at += 1)
			expect(findDroppedFrames(flipped(wal, at))).toMatchObject({ frames: count, commits: 5 })
		for (let index = 0; index < count - 1; index += 1) {
			const begin = HEADER + index * frame
			const found: (DroppedFrames | null)[] = []
			for (let at = begin; at < begin + FRAME_HEADER; at += 1) found.push(findDroppedFrames(flipped(wal, at)))
			expect(found.map((dropped) => dropped?.frames)).toEqual(Array.from({ length: FRAME_HEADER }, () => count - index))
		}
	})

	it('takes pages of the last commit that were never written for the end, and of the one before it for damage', () => {
		fc.assert(
			fc.property(fc.integer({ min: 2, max: 5 }), fc.array(fc.boolean(), { minLength: 64, maxLength: 64 }), (pages, lost) => {
				const before = write(4096, [9000])
				const { wal } = write(4096, [9000, 4096 * pages])
				const torn = Buffer.from(wal)
				for (const [sector, isLost] of lost.entries()) {
					const from = Math.ceil(before.wal.length / 512 + sector) * 512
					if (isLost) torn.fill(0, Math.min(from, torn.length), Math.min(from + 512, torn.length))
				}
				expect(findDroppedFrames(torn)).toBeNull()
				const gone = Buffer.from(wal)
				gone.fill(0, before.wal.length - 2048, before.wal.length - 1024)
				gone.fill(0xff, HEADER + FRAME_HEADER, HEADER + FRAME_HEADER + 512)
				expect(findDroppedFrames(gone)).toMatchObject({ commits: expect.any(Number) })
			}),
			{ numRuns: 30 },
		)
	})

	it('finds nothing where a shorter commit was written over one that the disk had refused at its end', () => {
		const base = open('base')
		base.db.exec(`PRAGMA wal_autocheckpoint = 0; CREATE TABLE texts (body TEXT)`)
		const goesOn = (name: string, length: number): Buffer => {
			for (const suffix of ['', '-wal']) copyFileSync(`${base.file}${suffix}`, join(directory, `${name}.db${suffix}`))
			using other = open(name)
			other.db.prepare('INSERT INTO texts VALUES (?)').run('x'.repeat(length))
			return readFileSync(`${other.file}-wal`)
		}
		const [shorter, longer] = [goesOn('shorter', 10), goesOn('longer', 30_000)]
		base[Symbol.dispose]()
		expect(shorter.subarray(0, HEADER)).toEqual(longer.subarray(0, HEADER))
		expect(findDroppedFrames(Buffer.concat([shorter, longer.subarray(shorter.length)]))).toBeNull()
	})

	it('says nothing of what is no log', () => {
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 20_000 }), (bytes) => {
				expect(findDroppedFrames(Buffer.from(bytes))).toBeNull()
			}),
		)
		expect(findDroppedFrames(Buffer.alloc(70_000))).toBeNull()
	})
})

describe('setDamagedAside', () => {
	let directory: string
	let database: string
	let wal: string

	/** A database as a killed process leaves it, with one byte of its write-ahead log changed. */
	beforeEach(() => {
		directory = mkdtempSync(join(tmpdir(), 'planstream-damaged-'))
		const alive = join(directory, 'alive.db')
		const db = openDatabase(alive)
		db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; CREATE TABLE texts (body TEXT)')
		for (const body of ['first', 'second', 'third']) db.prepare('INSERT INTO texts VALUES (?)').run(body)
		database = join(directory, 'planstream.db')
		wal = `${database}-wal`
		copyFileSync(alive, database)
		const bytes = readFileSync(`${alive}-wal`)
		const at = bytes.indexOf('second')
		writeFileSync(wal, bytes.fill((bytes[at] ?? 0) ^ 1, at, at + 1))
		db.close()
		rmSync(alive)
	})
	afterEach(() => rmSync(directory, { recursive: true }))

	it.each([
		['as a second name', true],
		['as a copy where the file system has no second names', false],
	])('a damaged write-ahead log is kept %s, and tells what was dropped', (_how, links) => {
		hasLinks.yes = links
		const damaged = readFileSync(wal)
		const aside = setDamagedAside(database)
		const [copy = '', ...others] = readdirSync(directory).filter((name) => name.includes('.damaged-'))
		expect(others).toEqual([])
		expect(statSync(join(directory, copy)).ino === statSync(wal).ino).toBe(links)
		expect(aside?.confirm()).toBe(true)
		rmSync(wal)
		expect(readFileSync(join(directory, copy)).equals(damaged)).toBe(true)
		expect(findDropped(database)).toMatchObject({ copies: [copy], commits: 1 })
	})

	it('a copy that was not finished counts for nothing and is made anew', () => {
		hasLinks.yes = false
		setDamagedAside(database)
		const [copy = ''] = readdirSync(directory).filter((name) => name.includes('.damaged-'))
		rmSync(join(directory, copy))
		writeFileSync(join(directory, `${copy}.part`), 'half')
		expect(findDropped(database)).toBeNull()
		setDamagedAside(database)
		expect(readdirSync(directory).filter((name) => name.includes('.damaged-'))).toEqual([copy])
		expect(readFileSync(join(directory, copy)).equals(readFileSync(wal))).toBe(true)
	})

	it('what was kept of a log that another process was just writing is let go', () => {
		for (const links of [true, false]) {
			hasLinks.yes = links
			setDamagedAside(database)?.forget()
			expect(findDropped(database)).toBeNull()
		}
	})
})
