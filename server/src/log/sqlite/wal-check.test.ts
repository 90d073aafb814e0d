import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { openDatabase } from './driver.js'
import { type DroppedFrames, findDropped, findDroppedFrames, setDamagedAside } from './wal-check.js'

const hasLinks = vi.hoisted(() => ({ yes: true }))

/** Simulates a file system without hard links, which cannot be mounted here, by failing linkSync. */
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

/** Lets SQLite write commits with this many characters each; 0 restarts the log over its old frames. */
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

/** Offset of the last commit frame of the current log; bytes after it belong to an earlier one. */
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

describe('findDroppedFrames', () => {
	it('finds nothing in an intact log or in one that was cut anywhere', () => {
		fc.assert(
			fc.property(written, where, ({ wal }, place) => {
				expect(findDroppedFrames(wal)).toBeNull()
				expect(findDroppedFrames(wal.subarray(0, Math.floor(place * wal.length)))).toBeNull()
			}),
			{ numRuns: 40 },
		)
	})

	it('finds every changed byte that has a commit after its frame', () => {
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

	it('finds every changed byte of the headers, and counts what follows', () => {
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

	it('treats unwritten pages of the last commit as the end, and those of an earlier one as damage', () => {
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

	it('finds nothing when a shorter commit overwrote one that failed at its end', () => {
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

	it('returns null for a file that is not a log', () => {
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

	/** Copies a database as a killed process leaves it, with one byte of its write-ahead log changed. */
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
		['as a hard link', true],
		['as a copy when the file system has no hard links', false],
	])('keeps a damaged write-ahead log %s, and reports what was dropped', (_how, links) => {
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

	it('ignores an unfinished copy and makes a new one', () => {
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

	it('discards its copy when another process was just writing the log', () => {
		for (const links of [true, false]) {
			hasLinks.yes = links
			setDamagedAside(database)?.forget()
			expect(findDropped(database)).toBeNull()
		}
	})
})
