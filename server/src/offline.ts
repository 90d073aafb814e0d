import { existsSync } from 'node:fs'
import path from 'node:path'
import {
	type ClearOutput,
	type DeleteOutput,
	type ImportOutput,
	type ListOutput,
	type PlanResultOutput,
	type PlanState,
	PlanstreamError,
	type StepResultOutput,
	type VerifyOutput,
} from '@planstream/shared'
import { listInput } from '@planstream/shared/schemas'
import { readArchive } from './api/archive-reader.js'
import { listPlans, readFold, readPlanResult, readStepResult } from './api/reads.js'
import { ArchiveKeys } from './auth/archive-keys.js'
import { tenant as tenantName } from './auth/keys.js'
import { Hub } from './hub/hub.js'
import type { PlanFold } from './hub/plan-fold.js'
import { LOCAL_PRINCIPAL } from './hub/principal.js'
import { listFiles, verifyPlan } from './hub/verify.js'
import { openLog } from './log/open.js'
import { type Compacted, compactDatabase } from './log/sqlite/compact.js'
import { DATABASE_FILE } from './log/sqlite/schema.js'
import { processSchedule } from './ops/clock.js'
import { getOwn } from './ops/json.js'
import { ArtifactSweeper } from './plans/artifact-sweeper.js'
import { Artifacts, type TenantArtifacts } from './plans/artifacts.js'
import { clearPlan, deletePlan } from './plans/remove.js'
import { StagedFiles, sweepStagedFiles } from './plans/staged-files.js'

/** The plans of a data directory that no server has open. */
export interface KeptPlans extends AsyncDisposable {
	/** @param input - the input of `plans.list`, not parsed yet */
	list(input: unknown): Promise<ListOutput>
	get(plan_id: string): Promise<PlanState>
	result(plan_id: string): Promise<PlanResultOutput>
	stepResult(plan_id: string, step_id: string): Promise<StepResultOutput>
	/** Reads a file that a step made. @throws PlanstreamError `not_found` when it is gone */
	artifact(plan_id: string, artifact_id: string): AsyncIterable<Uint8Array>
	verify(plan_id: string): Promise<VerifyOutput>
	export(plan_id: string): AsyncIterable<string>
	import(lines: AsyncIterable<Uint8Array>): Promise<ImportOutput>
	clear(plan_id: string): Promise<ClearOutput>
	delete(plan_id: string): Promise<DeleteOutput>
}

export interface KeptPlansOptions {
	/** Whether to create a missing file. */
	readonly make: boolean
	/** Tenant of the plans. @defaultValue the tenant of a server without keys */
	readonly tenant?: string | undefined
	/** Whether the key of exports may have any owner and mode. @defaultValue false */
	readonly anyMode?: boolean | undefined
}

/**
 * Opens the file of a data directory without a server; null when there is none.
 *
 * @throws PlanstreamError `storage_unavailable` when a server has it open or it cannot be read, `bad_request` for an invalid
 * tenant
 */
export async function openKeptPlans(directory: string, { make, tenant, anyMode }: KeptPlansOptions): Promise<KeptPlans | null> {
	const principal = { ...LOCAL_PRINCIPAL, tenant: assertTenant(tenant) }
	if (!make && !existsSync(path.join(directory, DATABASE_FILE))) return null
	const log = await openLog({ kind: 'sqlite', directory })
	const store = new Artifacts(directory)
	const artifacts = store.of(principal.tenant)
	const sweeper = new ArtifactSweeper({
		log,
		artifacts: store,
		schedule: processSchedule,
		clock: Date.now,
		onProblem: () => undefined,
	})
	await sweeper.adopt()
	const hub = new Hub({ log, clock: Date.now, onProblem: () => undefined })
	await sweepStagedFiles(directory)
	const keys = new ArchiveKeys({ directory, anyMode })
	const open = async (artifact_id: string) => (await artifacts.open(artifact_id))?.content ?? null
	const exportPlan = async function* (plan_id: string): AsyncGenerator<string, void, void> {
		yield* hub.archive(principal, plan_id, { open, key: await keys.own() })
	}
	return {
		list: (input) => listPlans(hub, principal, listInput.parse(input)),
		get: async (plan_id) => (await readFold(hub, principal, plan_id)).state,
		result: (plan_id) => readPlanResult(hub, principal, plan_id),
		stepResult: (plan_id, step_id) => readStepResult(hub, principal, { plan_id, step_id }),
		artifact: (plan_id, artifact_id) => readArtifact(readFold(hub, principal, plan_id), artifacts, artifact_id),
		verify: (plan_id) => verifyPlan(log, { tenant: principal.tenant, plan_id }, listFiles(hub, artifacts)),
		export: (plan_id) => exportPlan(plan_id),
		import: async (lines) => {
			await using files = new StagedFiles(directory, artifacts)
			const trust = (key: string) => keys.trust(key)
			return await hub.restore(
				principal,
				await readArchive(lines, { tenant: principal.tenant, files, trust, allowUnsigned: true }),
			)
		},
		clear: (plan_id) => clearPlan(hub, principal, plan_id),
		delete: (plan_id) => deletePlan(hub, principal, plan_id),
		[Symbol.asyncDispose]: async () => {
			await sweeper.sweep()
			await sweeper.stop()
			await log.close()
		},
	}
}

async function* readArtifact(
	fold: Promise<PlanFold>,
	artifacts: TenantArtifacts,
	artifact_id: string,
): AsyncGenerator<Uint8Array, void, void> {
	const { artifacts: known, state } = await fold
	const { plan_id } = state
	const found = getOwn(known, artifact_id) === undefined ? null : await artifacts.open(artifact_id)
	if (found === null) {
		const message = `The content of artifact ${artifact_id.slice(0, 80)} of plan ${plan_id} is gone. Restore it from a backup or an export.`
		throw new PlanstreamError('not_found', message, { plan_id })
	}
	yield* found.content as AsyncIterable<Uint8Array>
}

/**
 * Makes the database of a data directory as small as what is in it; null when there is none.
 *
 * @throws PlanstreamError `storage_unavailable` when a server has it open or the disk is full
 */
export function compactDirectory(directory: string): Compacted | null {
	return existsSync(path.join(directory, DATABASE_FILE)) ? compactDatabase(directory) : null
}

function assertTenant(tenant: string = LOCAL_PRINCIPAL.tenant): string {
	if (tenantName.safeParse(tenant).success) return tenant
	throw new PlanstreamError('bad_request', `Invalid tenant "${tenant}". Use 1 to 64 letters, digits, "_" or "-".`, {
		tenant,
	})
}
