import { createRequire } from 'node:module'
import { PlanstreamError } from '@planstream/shared'

export type SqlValue = string | number | null

/** A prepared statement. `Row` describes its columns, which the compiler cannot check. */
export interface SqlStatement<Row> {
	run(...values: SqlValue[]): { readonly changes: number | bigint; readonly lastInsertRowid: number | bigint }
	get(...values: SqlValue[]): Row | undefined
	all(...values: SqlValue[]): Row[]
}

/** The part of SQLite's interface that Planstream uses; identical in Node and in the fallback package. */
export interface SqlDatabase {
	readonly isTransaction: boolean
	exec(sql: string): void
	prepare<Row = never>(sql: string): SqlStatement<Row>
	close(): void
}

interface SqliteModule {
	readonly DatabaseSync: new (location: string) => SqlDatabase
}

const FALLBACK_PACKAGE = '@photostructure/sqlite'
const require = createRequire(import.meta.url)
let loaded: SqliteModule | undefined

/**
 * Opens a database file, or creates it.
 *
 * @throws `storage_unavailable` when this installation has no SQLite
 */
export function openDatabase(file: string): SqlDatabase {
	loaded ??= loadBuiltIn() ?? loadFallback()
	return new loaded.DatabaseSync(file)
}

/**
 * Opens a private database in memory, gone with its last reference; for an index that can be rebuilt.
 *
 * @throws `storage_unavailable` when this installation has no SQLite
 */
export function openMemoryDatabase(): SqlDatabase {
	return openDatabase(':memory:')
}

/** Loads Node's own SQLite if it has the backup function (Node 22.16 and later). */
function loadBuiltIn(): SqliteModule | null {
	const module = suppressSqliteWarning(() => process.getBuiltinModule('node:sqlite'))
	return isUsable(module) ? module : null
}

function isUsable(module: object | undefined): module is SqliteModule {
	return module !== undefined && 'backup' in module && 'DatabaseSync' in module
}

function loadFallback(): SqliteModule {
	try {
		return require(FALLBACK_PACKAGE) as SqliteModule
	} catch (cause) {
		const message =
			`SQLite is not available: Node ${process.versions.node} is older than 22.16, and the optional package ` +
			`${FALLBACK_PACKAGE} could not be loaded. Install without --omit=optional, or use a newer Node.`
		throw new PlanstreamError(
			'storage_unavailable',
			message,
			{ node: process.versions.node, package: FALLBACK_PACKAGE },
			{ cause },
		)
	}
}

/** Suppresses the warning that SQLite is experimental, which Node prints while the module loads: operators cannot act on it. */
function suppressSqliteWarning<Result>(load: () => Result): Result {
	const emitWarning = process.emitWarning
	const emitOtherWarning = (warning: string | Error, ...rest: unknown[]): void => {
		const text = typeof warning === 'string' ? warning : warning.message
		if (rest[0] === 'ExperimentalWarning' && text.startsWith('SQLite')) return
		Reflect.apply(emitWarning, process, [warning, ...rest])
	}
	process.emitWarning = emitOtherWarning
	try {
		return load()
	} finally {
		process.emitWarning = emitWarning
	}
}
