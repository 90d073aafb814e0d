import { describe, expect, it } from 'vitest'
import { openMemoryDatabase } from './driver.js'

describe('the SQLite driver', () => {
	it('opens a private in-memory database with full-text search', () => {
		const one = openMemoryDatabase()
		const other = openMemoryDatabase()
		one.exec("CREATE VIRTUAL TABLE passages USING fts5 (body); INSERT INTO passages VALUES ('the quick brown fox')")
		expect(one.prepare('SELECT body FROM passages WHERE passages MATCH ?').all('quick')).toHaveLength(1)
		expect(() => other.prepare('SELECT body FROM passages')).toThrow('no such table')
		one.close()
		other.close()
	})

	it('leaves the warnings of the process unchanged', () => {
		const { emitWarning } = process
		openMemoryDatabase().close()
		expect(process.emitWarning).toBe(emitWarning)
	})
})
