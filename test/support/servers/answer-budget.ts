import { AnswerBudget } from '../../../server/src/connections/answer-budget.js'
import { CONNECTION_LIMITS } from '../../../server/src/connections/connections.js'
import { processSchedule } from '../../../server/src/ops/clock.js'
import { Limits, type ServerLimits } from '../../../server/src/ops/limits.js'

export interface BudgetOptions extends Partial<Pick<ServerLimits, 'answers_bytes' | 'connection_bytes'>> {
	readonly stallTimeoutMs?: number | undefined
}

/** The budget of answers that a server has by default, but for what is given. */
export function createAnswerBudget({
	stallTimeoutMs = CONNECTION_LIMITS.stallTimeoutMs,
	...server
}: BudgetOptions = {}): AnswerBudget {
	const limits = new Limits({ server })
	return new AnswerBudget({
		limits: () => limits.server,
		stallTimeoutMs,
		clock: () => performance.now(),
		schedule: processSchedule,
	})
}
