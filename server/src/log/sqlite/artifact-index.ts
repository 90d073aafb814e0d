import { getTenant } from '../append.js'
import type { ArtifactOwner, PlanKey } from '../event-log.js'
import type { SqlDatabase } from './driver.js'

/** The artifacts that logs name. It changes in the transactions that change the logs, so it never differs from them. */
export class ArtifactIndex {
	readonly #sql: ReturnType<typeof prepareStatements>

	constructor(db: SqlDatabase) {
		this.#sql = prepareStatements(db)
	}

	/** Records that the event `seq` of a log names these artifacts. */
	add(plan: PlanKey, log_id: number, seq: number, artifact_ids: readonly string[]): void {
		for (const artifact_id of artifact_ids) this.#sql.add.run(log_id, artifact_id, seq, getTenant(plan))
	}

	/**
	 * Releases the artifacts that a log names in events before `before_seq` only.
	 *
	 * @param kept - artifacts that the base in place of these events names
	 */
	release(log_id: number, before_seq: number, kept: readonly string[] = []): void {
		const named = new Set(kept)
		for (const { artifact_id } of this.#sql.listBefore.all(log_id, before_seq)) {
			if (!named.has(artifact_id)) this.#sql.release.run(log_id, artifact_id)
		}
	}

	listReleased(limit: number): ArtifactOwner[] {
		return this.#sql.listReleased.all(limit).map(({ artifact_id, tenant }) => ({ artifact_id, tenant }))
	}

	forgetReleased(artifacts: readonly ArtifactOwner[]): void {
		for (const { artifact_id, tenant } of artifacts) this.#sql.forgetReleased.run(artifact_id, tenant)
	}

	move(log_id: number, to: PlanKey): void {
		this.#sql.move.run(getTenant(to), log_id)
	}

	/** Looks up one tenant after the other, because many plans of one tenant may name the same artifact. */
	findOwners(artifact_ids: readonly string[]): ArtifactOwner[] {
		const owners: ArtifactOwner[] = []
		for (const artifact_id of artifact_ids) {
			let found = this.#sql.nextOwner.get(artifact_id, '')
			for (; found !== undefined; found = this.#sql.nextOwner.get(artifact_id, found.tenant)) {
				owners.push({ artifact_id, tenant: found.tenant })
			}
		}
		return owners
	}
}

function prepareStatements(db: SqlDatabase) {
	return {
		add: db.prepare(
			`INSERT INTO artifacts (log_id, artifact_id, seq, tenant) VALUES (?, ?, ?, ?)
				ON CONFLICT (log_id, artifact_id, tenant) DO UPDATE SET seq = max(seq, excluded.seq)`,
		),
		move: db.prepare('UPDATE artifacts SET tenant = ? WHERE log_id = ?'),
		listBefore: db.prepare<{ artifact_id: string }>('SELECT artifact_id FROM artifacts WHERE log_id = ? AND seq < ?'),
		/** Replaces the row of an artifact that is released already. */
		release: db.prepare('UPDATE OR REPLACE artifacts SET log_id = 0 WHERE log_id = ? AND artifact_id = ?'),
		listReleased: db.prepare<ArtifactOwner>('SELECT artifact_id, tenant FROM artifacts WHERE log_id = 0 LIMIT ?'),
		forgetReleased: db.prepare('DELETE FROM artifacts WHERE log_id = 0 AND artifact_id = ? AND tenant = ?'),
		nextOwner: db.prepare<{ tenant: string }>(
			'SELECT tenant FROM artifacts WHERE artifact_id = ? AND tenant > ? AND log_id > 0 ORDER BY tenant LIMIT 1',
		),
	}
}
