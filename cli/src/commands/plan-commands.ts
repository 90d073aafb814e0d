import { PLAN_STATUSES } from '@planstream/shared'
import { Argument, type Command, InvalidArgumentError, Option } from 'commander'
import { addChoices } from '../choices.js'
import { createUrlOption } from '../connection.js'
import { type ExitCode, UsageError } from '../exit.js'
import { addLocationOptions } from '../plans.js'
import {
	type AnswerOptions,
	answerCommand,
	type CloneOptions,
	type ControlOptions,
	cancelCommand,
	cloneCommand,
	type Decision,
	type ModifyOptions,
	modifyCommand,
	type PauseOptions,
	pauseCommand,
	type ReasonOptions,
	type RetryOptions,
	resumeCommand,
	retryCommand,
	skipCommand,
	startCommand,
} from './control.js'
import { type ListOptions, listCommand, reviewsCommand, type ShowOptions, showCommand } from './show.js'

type Exit = (code: ExitCode) => void

const JSON_FLAG = ['--json', 'print JSON: one object per line'] as const
const REASON = ['--reason <text>', 'reason to record in the event'] as const
const DECISIONS = ['approve', 'reject', 'edit'] as const

/** Adds commands that show and control plans. */
export function addPlanCommands(planstream: Command, exit: Exit): void {
	addShowCommands(planstream, exit)
	addRunCommands(planstream, exit)
	addStepCommands(planstream, exit)
	addEditCommands(planstream, exit)
}

function addCommand(planstream: Command, name: string, description: string): Command {
	return planstream
		.command(name)
		.description(description)
		.addOption(createUrlOption())
		.option(...JSON_FLAG)
}

/** Adds a command that works with or without a server. */
function addShowCommand(planstream: Command, name: string, description: string): Command {
	return addLocationOptions(planstream.command(name).description(description)).option(...JSON_FLAG)
}

function addShowCommands(planstream: Command, exit: Exit): void {
	addShowCommand(planstream, 'list', 'list plans, newest first')
		.addOption(addChoices(new Option('--status <status...>', 'only plans with these statuses'), PLAN_STATUSES))
		.option('--label <name=value>', 'only plans with this label; may be repeated', (label, before: string[] = []) => [
			...before,
			label,
		])
		.option('--query <text>', 'only plans whose query contains this text')
		.option('--limit <count>', 'maximum number of plans', parseWholeNumber, 100)
		.action(async (options: ListOptions) => exit(await listCommand(options)))
	addShowCommand(planstream, 'show', 'show the current state of a plan')
		.argument('<plan_id>')
		.action(async (plan_id: string, options: ShowOptions) => exit(await showCommand(plan_id, options)))
}

function addRunCommands(planstream: Command, exit: Exit): void {
	addCommand(planstream, 'start', 'start a pending plan')
		.argument('<plan_id>')
		.action(async (plan_id: string, options: ControlOptions) => exit(await startCommand(plan_id, options)))
	addCommand(planstream, 'pause', 'pause a plan: running steps finish, no new ones start')
		.argument('<plan_id>')
		.option('--interrupt', 'abort running steps; they run again after the resume')
		.option(...REASON)
		.action(async (plan_id: string, options: PauseOptions) => exit(await pauseCommand(plan_id, options)))
	addCommand(planstream, 'resume', 'resume a paused plan')
		.argument('<plan_id>')
		.action(async (plan_id: string, options: ControlOptions) => exit(await resumeCommand(plan_id, options)))
	addCommand(planstream, 'cancel', 'cancel a plan')
		.argument('<plan_id>')
		.option(...REASON)
		.action(async (plan_id: string, options: ReasonOptions) => exit(await cancelCommand(plan_id, options)))
}

function addStepCommands(planstream: Command, exit: Exit): void {
	addCommand(planstream, 'retry', 'retry the unsuccessful steps of a plan, or one step')
		.argument('<plan_id>')
		.argument('[step_id]')
		.option('--cascade', 'with a step: also retry the steps that used its result')
		.action(async (plan_id: string, step_id: string | undefined, options: RetryOptions) =>
			exit(await retryCommand(plan_id, step_id, options)),
		)
	addCommand(planstream, 'skip', 'mark a step as done without a result')
		.argument('<plan_id>')
		.argument('<step_id>')
		.option(...REASON)
		.action(async (plan_id: string, step_id: string, options: ReasonOptions) =>
			exit(await skipCommand(plan_id, step_id, options)),
		)
	addCommand(planstream, 'review', 'show open reviews, or answer one')
		.argument('<plan_id>')
		.argument('[review_id]')
		.addArgument(addChoices(new Argument('[decision]'), DECISIONS))
		.option('--comment <text>', 'comment on the decision')
		.option('--payload <file>', 'with edit: file of the new result, or - for standard input')
		.action(async (plan_id: string, review_id: string | undefined, decision: Decision | undefined, options: AnswerOptions) => {
			if (review_id === undefined) exit(await reviewsCommand(plan_id, options))
			else if (decision === undefined) throw new UsageError(`The review ${review_id} needs a decision: ${DECISIONS.join(', ')}.`)
			else exit(await answerCommand(plan_id, review_id, decision, options))
		})
}

function addEditCommands(planstream: Command, exit: Exit): void {
	addCommand(planstream, 'modify', 'edit the steps of a plan, even while it runs')
		.argument('<plan_id>')
		.argument('<edit.json>', 'file with the operations, or - for standard input')
		.option('--expected-revision <number>', 'fail if the steps were edited since this revision', parseWholeNumber)
		.action(async (plan_id: string, file: string, options: ModifyOptions) => exit(await modifyCommand(plan_id, file, options)))
	addCommand(planstream, 'clone', 'create a plan from the current state of another')
		.argument('<plan_id>')
		.option('--id <plan_id>', 'id of the new plan (default: random)')
		.option('--no-start', 'create the plan without starting it')
		.action(async (plan_id: string, options: CloneOptions) => exit(await cloneCommand(plan_id, options)))
}

function parseWholeNumber(text: string): number {
	const value = Number(text)
	if (Number.isSafeInteger(value) && value > 0) return value
	throw new InvalidArgumentError('It must be a whole number above 0.')
}
