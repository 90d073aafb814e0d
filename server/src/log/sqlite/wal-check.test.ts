import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { openDatabase } from './driver.js'
import { type DroppedFrames, droppedFrames } from './wal-check.js'

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
				expect(droppedFrames(wal)).toBeNull()
				expect(droppedFrames(wal.subarray(0, Math.floor(place * wal.length)))).toBeNull()
			}),
			{ numRuns: 40 },
		)
	})

	it('finds every changed byte that has a commit behind its frame', () => {
		fc.assert(
			fc.property(written, fc.array(where, { minLength: 20, maxLength: 20 }), mask, (log, places, bits) => {
				for (const place of places) {
					const at = Math.floor(place * lastCommit(log))
					expect(droppedFrames(flipped(log.wal, at, bits)), `byte ${at}`).toMatchObject({ commits: expect.any(Number) })
				}
			}),
			{ numRuns: 30 },
		)
	})

	it('finds every byte of the headers, and tells how much stands behind', () => {
		const { wal, pageSize } = write(4096, [10, 9000, 10, 10])
		const frame = FRAME_HEADER + pageSize
		const count = (wal.length - HEADER) / frame
		for (let at = 0; at < HEADER; at += 1) expect(droppedFrames(flipped(wal, at))).toMatchObject({ frames: count, commits: 5 })
		for (let index = 0; index < count - 1; index += 1) {
			const begin = HEADER + index * frame
			const found: (DroppedFrames | null)[] = []
			for (let at = begin; at < begin + FRAME_HEADER; at += 1) found.push(droppedFrames(flipped(wal, at)))
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
				expect(droppedFrames(torn)).toBeNull()
				const gone = Buffer.from(wal)
				gone.fill(0, before.wal.length - 2048, before.wal.length - 1024)
				gone.fill(0xff, HEADER + FRAME_HEADER, HEADER + FRAME_HEADER + 512)
				expect(droppedFrames(gone)).toMatchObject({ commits: expect.any(Number) })
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
		expect(droppedFrames(Buffer.concat([shorter, longer.subarray(shorter.length)]))).toBeNull()
	})

	it('says nothing of what is no log', () => {
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 20_000 }), (bytes) => {
				expect(droppedFrames(Buffer.from(bytes))).toBeNull()
			}),
		)
		expect(droppedFrames(Buffer.alloc(70_000))).toBeNull()
	})
})
