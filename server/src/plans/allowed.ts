import type { PlanStatus, StepStatus } from '@planstream/shared'

/** Everything somebody may ask of a plan or of one of its steps, in the words of the addresses, the SDK and the command line. */
export const PLAN_COMMANDS = ['start', 'pause', 'resume', 'cancel', 'retry', 'modify', 'clone', 'clear', 'delete'] as const
export type PlanCommand = (typeof PLAN_COMMANDS)[number]
export const STEP_COMMANDS = ['retry', 'skip', 'review'] as const
export type StepCommand = (typeof STEP_COMMANDS)[number]

/** The commands that change a plan in each of its states. */
export const ALLOWED_ON_PLAN: Readonly<Record<PlanStatus, readonly PlanCommand[]>> = {
	pending: ['start', 'cancel', 'modify', 'clone'],
	running: ['pause', 'cancel', 'modify', 'clone'],
	pausing: ['pause', 'resume', 'cancel', 'modify', 'clone'],
	paused: ['resume', 'cancel', 'modify', 'clone'],
	cancelling: ['clone'],
	completed: ['clone', 'clear', 'delete'],
	failed: ['retry', 'modify', 'clone', 'clear', 'delete'],
	cancelled: ['retry', 'clone', 'clear', 'delete'],
}

/** Commands whose target a plan in this state has reached already: they succeed and change nothing. */
export const REACHED_BY_PLAN: Readonly<Record<PlanStatus, readonly PlanCommand[]>> = {
	pending: [],
	running: ['start', 'resume'],
	pausing: [],
	paused: ['pause'],
	cancelling: ['cancel'],
	completed: [],
	failed: [],
	cancelled: ['cancel'],
}

/** The states of a plan in which its steps take commands at all. */
const PLANS_THAT_TAKE: Readonly<Record<StepCommand, readonly PlanStatus[]>> = {
	retry: ['running', 'pausing', 'paused', 'failed'],
	skip: ['pending', 'running', 'pausing', 'paused', 'failed'],
	review: ['running', 'pausing', 'paused'],
}

/** The states of a step in which it takes a command, its plan allowing. */
const STEPS_THAT_TAKE: Readonly<Record<StepCommand, readonly StepStatus[]>> = {
	retry: ['failed', 'skipped', 'completed', 'cancelled'],
	skip: ['pending', 'ready', 'retrying', 'awaiting_review', 'failed'],
	review: ['awaiting_review'],
}

/** The commands that change a step in its state, in a plan in its state. */
export function allowedOnStep(plan: PlanStatus, step: StepStatus): StepCommand[] {
	return STEP_COMMANDS.filter((command) => PLANS_THAT_TAKE[command].includes(plan) && STEPS_THAT_TAKE[command].includes(step))
}
