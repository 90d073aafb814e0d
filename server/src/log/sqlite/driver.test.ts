import { createRequire } from 'node:module'
import { describe, expect, it } from 'vitest'
import { explainUnavailable, openMemoryDatabase } from './driver.js'

const PACKAGE = '@photostructure/sqlite'

function catchError(run: () => unknown): unknown {
	try {
		return run()
	} catch (thrown) {
		return thrown
	}
}

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

	it('says that its package is not installed only when it is not', () => {
		const cause = catchError(() => createRequire('/nowhere/else.js')(PACKAGE))
		expect(explainUnavailable(cause)).toMatchObject({
			code: 'storage_unavailable',
			message: expect.stringMatching(/is not installed\. Install without --omit=optional/) as string,
			cause,
		})
		const within = catchError(() => createRequire('/nowhere/else.js')('node-gyp-build'))
		expect(explainUnavailable(within).message).toContain(
			"cannot be loaded (MODULE_NOT_FOUND: Cannot find module 'node-gyp-build')",
		)
	})

	it.each([
		[
			Object.assign(new Error('Cannot load native addon because loading addons is disabled.'), { code: 'ERR_DLOPEN_DISABLED' }),
			'cannot be loaded (ERR_DLOPEN_DISABLED: Cannot load native addon because loading addons is disabled.)',
		],
		[
			Object.assign(
				new Error("/lib/x86_64/libc.so.6: version `GLIBC_2.38' not found (required by /srv/app/node_modules/a/b.node)\nmore"),
				{ code: 'ERR_DLOPEN_FAILED' },
			),
			"cannot be loaded (ERR_DLOPEN_FAILED: libc.so.6: version `GLIBC_2.38' not found (required by b.node))",
		],
		[
			new Error('C:\\Users\\me\\app\\sqlite.node is not a valid Win32 application.'),
			'cannot be loaded (sqlite.node is not a valid Win32 application.)',
		],
	])('gives the reason of "%s", without paths', (cause, said) => {
		const error = explainUnavailable(cause)
		expect(error.message).toContain(said)
		expect(error.message).not.toContain('not installed')
		expect(error.cause).toBe(cause)
	})
})
