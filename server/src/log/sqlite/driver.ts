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
		throw explainUnavailable(cause)
	}
}

/** Tells a package that is missing from one that is there and fails, whose reason is given without paths of this machine. */
export function explainUnavailable(cause: unknown): PlanstreamError {
	const { node } = process.versions
	const reason = describeFailure(cause)
	const message =
		reason === null
			? `SQLite is not available: Node ${node} has none, and the optional package ${FALLBACK_PACKAGE} is not installed. ` +
				'Install without --omit=optional, or use Node 22.16 or newer.'
			: `SQLite is not available: the package ${FALLBACK_PACKAGE} is installed but cannot be loaded (${reason}). ` +
				'Remove the cause, or use Node 22.16 or newer, which has SQLite.'
	return new PlanstreamError('storage_unavailable', message, { node, package: FALLBACK_PACKAGE }, { cause })
}

/** Folders in the text of an error, such as those of a library that the dynamic linker names. */
const FOLDERS = /(?:\b[A-Za-z]:)?[\\/](?:[^\\/\s:'"`()]+[\\/])+/g
const MAX_REASON = 300

/** @returns null when the package is not installed */
function describeFailure(cause: unknown): string | null {
	if (!(cause instanceof Error)) return String(cause)
	const { code, message } = cause as NodeJS.ErrnoException
	if (code === 'MODULE_NOT_FOUND' && message.startsWith(`Cannot find module '${FALLBACK_PACKAGE}'`)) return null
	const [line = ''] = message.split('\n')
	return [code, line.replace(FOLDERS, '').slice(0, MAX_REASON)].filter(Boolean).join(': ')
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
