import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { openDatabase } from './driver.js'
import { findDropped, setDamagedAside } from './wal-check.js'

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
