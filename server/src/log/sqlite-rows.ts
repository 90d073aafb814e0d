import type { LogRow, Statements } from './sqlite-statements.js'

/** Columns of a row that indexes hold, but for those a growing log always changes. */
const INDEXED = ['created_at', 'unfinished', 'at_rest', 'status', 'labels', 'query_text'] as const

/**
 * Rows of `logs` that a transaction changes, written once at its end. Where a log ends is told by its newest event, so that the row of one that
 * grew by transient events alone is not written.
 */
export class ChangedRows {
	readonly #sql: Statements
	readonly #rows = new Map<string, LogRow>()
	/** What of these logs' rows must be written: what a log that grows changes, or all. */
	readonly #outdated = new Map<number, 'grown' | 'moved'>()

	constructor(sql: Statements) {
		this.#sql = sql
	}

	get(key: string): LogRow | undefined {
		return this.#rows.get(key)
	}

	entries(): IterableIterator<[string, LogRow]> {
		return this.#rows.entries()
	}

	/** A row that stands in the table as it is. */
	add(key: string, row: LogRow): void {
		this.#rows.set(key, row)
	}

	grow(key: string, before: LogRow, after: LogRow): void {
		const { log_id, state_seq, summary, at_rest } = after
		this.#rows.set(key, after)
		if (!INDEXED.every((column) => after[column] === before[column])) this.#outdated.set(log_id, 'moved')
		else if (this.#outdated.has(log_id)) return
		// The size of a finished plan is looked for in the table.
		else if (state_seq !== before.state_seq || summary !== before.summary || at_rest === 'finished')
			this.#outdated.set(log_id, 'grown')
	}

	/** A row that stands elsewhere in an index than before, or may. */
	move(key: string, row: LogRow): void {
		this.#rows.set(key, row)
		this.#outdated.set(row.log_id, 'moved')
	}

	delete(key: string): void {
		this.#rows.delete(key)
	}

	write(): void {
		for (const row of this.#rows.values()) {
			const outdated = this.#outdated.get(row.log_id)
			if (outdated === 'grown') this.#writeGrown(row)
			else if (outdated === 'moved') this.#writeMoved(row)
		}
	}

	clear(): void {
		this.#rows.clear()
		this.#outdated.clear()
	}

	#writeGrown({ head_seq, state_seq, fingerprint, updated_at, summary, log_id }: LogRow): void {
		this.#sql.growLog.run(head_seq, state_seq, fingerprint, updated_at, summary, log_id)
	}

	#writeMoved(row: LogRow): void {
		const { head_seq, state_seq, oldest_seq, fingerprint, before_fingerprint, trim_reason } = row
		const { created_at, unfinished, at_rest, updated_at, status, labels, query_text, summary } = row
		const shown = [created_at, unfinished, at_rest, updated_at, status, labels, query_text, summary] as const
		const numbers = [head_seq, state_seq, oldest_seq] as const
		this.#sql.setLog.run(...numbers, fingerprint, before_fingerprint, trim_reason, ...shown, row.log_id)
	}
}
