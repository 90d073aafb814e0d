import { createRequire } from 'node:module'
import { PlanstreamError } from '@planstream/shared'

export type SqlValue = string | number | null

/** A prepared statement. `Row` is what its columns are, which only the SQL knows. */
export interface SqlStatement<Row> {
	run(...values: SqlValue[]): { readonly changes: number | bigint; readonly lastInsertRowid: number | bigint }
	get(...values: SqlValue[]): Row | undefined
	all(...values: SqlValue[]): Row[]
}

/** The part of SQLite's interface that this system uses; the same in Node and in the package that stands in for it. */
export interface SqlDatabase {
	readonly isTransaction: boolean
	exec(sql: string): void
	prepare<Row = never>(sql: string): SqlStatement<Row>
	close(): void
}

interface SqliteModule {
	readonly DatabaseSync: new (location: string) => SqlDatabase
}

const STAND_IN = '@photostructure/sqlite'
const require = createRequire(import.meta.url)
let loaded: SqliteModule | undefined

/**
 * Opens a database file, or makes it.
 *
 * @throws `storage_unavailable` when this installation has no SQLite
 */
export function openDatabase(file: string): SqlDatabase {
	loaded ??= builtIn() ?? standIn()
	return new loaded.DatabaseSync(file)
}

/**
 * A private database in memory, gone with its last reference; for an index that can be made again.
 *
 * @throws `storage_unavailable` when this installation has no SQLite
 */
export function openMemoryDatabase(): SqlDatabase {
	return openDatabase(':memory:')
}

/** Node's own SQLite, from the version on that has its backup function (22.16). */
function builtIn(): SqliteModule | null {
	const module = withoutSqliteWarning(() => process.getBuiltinModule('node:sqlite'))
	return isUsable(module) ? module : null
}

function isUsable(module: object | undefined): module is SqliteModule {
	return module !== undefined && 'backup' in module && 'DatabaseSync' in module
}

function standIn(): SqliteModule {
	try {
		return require(STAND_IN) as SqliteModule
	} catch (cause) {
		const message =
			`This installation has no SQLite: Node ${process.versions.node} has none built in that serves (22.16 and later do), and the ` +
			`optional package ${STAND_IN} could not be loaded. Install without --omit=optional, or use a newer Node.`
		throw new PlanstreamError('storage_unavailable', message, { node: process.versions.node, package: STAND_IN }, { cause })
	}
}

/** Node announces its SQLite as experimental while the module loads; that one sentence is of no use to an operator. */
function withoutSqliteWarning<Result>(load: () => Result): Result {
	const emitWarning = process.emitWarning
	const quiet = (warning: string | Error, ...rest: unknown[]): void => {
		const text = typeof warning === 'string' ? warning : warning.message
		if (rest[0] === 'ExperimentalWarning' && text.startsWith('SQLite')) return
		Reflect.apply(emitWarning, process, [warning, ...rest])
	}
	process.emitWarning = quiet
	try {
		return load()
	} finally {
		process.emitWarning = emitWarning
	}
}
