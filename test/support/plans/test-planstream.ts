import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PlanEvent, PlanSpec } from '@planstream/shared'
import { scriptedAgent } from '../../../server/src/agents/scripted.js'
import { ArchiveKeys } from '../../../server/src/auth/archive-keys.js'
import { Hub } from '../../../server/src/hub/hub.js'
import type { EventLog } from '../../../server/src/log/event-log.js'
import { openLog } from '../../../server/src/log/open.js'
import { keepAliveSchedule, type Schedule } from '../../../server/src/ops/clock.js'
import { Health } from '../../../server/src/ops/health.js'
import { Limits } from '../../../server/src/ops/limits.js'
import type { Agent } from '../../../server/src/plans/agent.js'
import { Artifacts } from '../../../server/src/plans/artifacts.js'
import { Executor } from '../../../server/src/plans/executor.js'
import { InProcessQueue } from '../../../server/src/plans/step-queue.js'
import { eventsOf, runPlan } from '../../../server/src/testing/test-planstream.js'
import type { ManualClock } from '../manual-clock.js'

/** The clock and timers of a plan. */
export interface TestTime {
	/** Milliseconds since 1970. */
	readonly now: () => number
	readonly schedule: Schedule
}

const PROCESS_TIME: TestTime = { now: Date.now, schedule: keepAliveSchedule }

/** Derives both from a manual clock. */
export function manualTime(clock: ManualClock): TestTime {
	return { now: () => clock.now(), schedule: (callback, delayMs) => ({ [Symbol.dispose]: clock.after(delayMs, callback) }) }
}

/** A hub and an executor without a network, for tests of how plans run. */
export class TestPlanstream implements AsyncDisposable {
	readonly log: EventLog
	readonly hub: Hub
	readonly executor: Executor
	readonly health = new Health()
	readonly problems: string[] = []
	readonly #directory = mkdtempSync(join(tmpdir(), 'planstream-'))
	readonly artifacts = new Artifacts(this.#directory)
	readonly archiving = {
		keys: new ArchiveKeys({ directory: this.#directory }),
		directory: this.#directory,
		limits: new Limits(),
	}

	constructor(log: EventLog, agents: readonly Agent[], { now, schedule }: TestTime = PROCESS_TIME) {
		const onProblem = (sentence: string) => void this.problems.push(sentence)
		this.log = log
		this.hub = new Hub({ log, clock: now, onProblem })
		this.executor = new Executor({
			hub: this.hub,
			log,
			agents,
			queue: new InProcessQueue({ schedule, onProblem }),
			artifacts: this.artifacts,
			clock: now,
			random: Math.random,
			schedule,
			health: this.health,
			onProblem,
		})
	}

	/** Creates a plan and resolves with all its events once it has ended. */
	async run(spec: PlanSpec): Promise<readonly PlanEvent[]> {
		return (await runPlan(this, spec)).events
	}

	/** Reads the events of a plan from the first until it is done. */
	events(plan_id: string): Promise<PlanEvent[]> {
		return eventsOf(this.hub, plan_id)
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.executor.stop()
		await this.log.close()
		rmSync(this.#directory, { recursive: true, force: true })
	}
}

export async function startPlanstream(agents: readonly Agent[] = [scriptedAgent()]): Promise<TestPlanstream> {
	return new TestPlanstream(await openLog({ kind: 'memory' }), agents)
}
