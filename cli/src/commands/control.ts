import { randomUUID } from 'node:crypto'
import type { CommandOutput, ModifyInput, Planstream, ReviewInput } from '@planstream/client'
import { connect, createTypeCommand } from '../connection.js'
import { EXIT, type ExitCode, UsageError } from '../exit.js'
import { isObject, openInput, readJson } from '../input.js'
import { writeLine } from '../output.js'
import { findServedPlanId } from '../plan-ids.js'
import type { TypeCommand } from '../render.js'

/** Options of every command that changes a plan. */
export interface ControlOptions {
	readonly url?: string
	readonly json?: boolean
}

export interface ReasonOptions extends ControlOptions {
	readonly reason?: string
}

export interface PauseOptions extends ReasonOptions {
	readonly interrupt?: boolean
}

export interface RetryOptions extends ControlOptions {
	readonly cascade?: boolean
}

export interface ModifyOptions extends ControlOptions {
	readonly expectedRevision?: number
}

export interface AnswerOptions extends ControlOptions {
	readonly comment?: string
	readonly payload?: string
}

export interface CloneOptions extends ControlOptions {
	readonly id?: string
	readonly start: boolean
}

export function pauseCommand(plan: string, options: PauseOptions): Promise<ExitCode> {
	const { interrupt = false, reason } = options
	const mode = interrupt ? 'interrupt' : 'drain'
	return control(plan, options, ({ plans }, target) => plans.pause({ ...target, mode, ...pickDefined({ reason }) }))
}

export function startCommand(plan: string, options: ControlOptions): Promise<ExitCode> {
	return control(plan, options, ({ plans }, target) => plans.start(target))
}

export function resumeCommand(plan: string, options: ControlOptions): Promise<ExitCode> {
	return control(plan, options, ({ plans }, target) => plans.resume(target))
}

export function cancelCommand(plan: string, options: ReasonOptions): Promise<ExitCode> {
	const { reason } = options
	return control(plan, options, ({ plans }, target) => plans.cancel({ ...target, ...pickDefined({ reason }) }))
}

/** Retries one step, or the whole plan without one. */
export function retryCommand(plan: string, step_id: string | undefined, options: RetryOptions): Promise<ExitCode> {
	const { cascade = false } = options
	if (step_id !== undefined) return control(plan, options, ({ steps }, target) => steps.retry({ ...target, step_id, cascade }))
	if (cascade) throw new UsageError('--cascade needs a step. Name the step after the plan, or remove --cascade.')
	return control(plan, options, ({ plans }, target) => plans.retry(target))
}

export function skipCommand(plan: string, step_id: string, options: ReasonOptions): Promise<ExitCode> {
	const { reason } = options
	return control(plan, options, ({ steps }, target) => steps.skip({ ...target, step_id, ...pickDefined({ reason }) }))
}

/** Sends the operations in a file, a list or an object with `ops`. The server validates them and names the path of an error. */
export async function modifyCommand(plan: string, file: string, options: ModifyOptions): Promise<ExitCode> {
	const edit = await readJson(openInput(file))
	const { expectedRevision: expected_revision } = options
	const asked = Array.isArray(edit) ? { ops: edit } : isObject(edit) ? edit : null
	if (asked === null)
		throw new UsageError(
			`${file} does not contain an edit. An edit is a list of operations such as { "op": "remove_step", ... }.`,
		)
	const input = { ...asked, ...pickDefined({ expected_revision }) } as Omit<ModifyInput, 'plan_id'>
	return control(plan, options, ({ plans }, target) => plans.modify({ ...input, ...target }))
}

export type Decision = ReviewInput['decision']

export async function answerCommand(
	plan: string,
	review_id: string,
	decision: Decision,
	options: AnswerOptions,
): Promise<ExitCode> {
	const payload = options.payload === undefined ? undefined : await readJson(openInput(options.payload))
	if (payload !== undefined && !isObject(payload))
		throw new UsageError(`${options.payload} does not contain a result. A result is a JSON object.`)
	const said = pickDefined({ comment: options.comment, payload: payload as ReviewInput['payload'] })
	return control(plan, options, ({ reviews }, target) => reviews.answer({ ...target, review_id, decision, ...said }))
}

export function cloneCommand(plan: string, options: CloneOptions): Promise<ExitCode> {
	const { id: new_plan_id, start } = options
	return control(plan, options, ({ plans }, target) => plans.clone({ ...target, start, ...pickDefined({ new_plan_id }) }))
}

type Ask = (planstream: Planstream, target: Target) => Promise<CommandOutput>

interface Target {
	readonly plan_id: string
	readonly idempotency_key: string
}

/** Sends one command with its own idempotency key, so that it takes effect once even if it is resent, and prints the outcome. */
async function control(plan: string, { url, json = false }: ControlOptions, ask: Ask): Promise<ExitCode> {
	await using planstream = await connect(url)
	const plan_id = await findServedPlanId(planstream, plan)
	const answer = await ask(planstream, { plan_id, idempotency_key: `cli-${randomUUID()}` })
	await writeLine(json ? JSON.stringify(answer) : describe(answer, createTypeCommand({ url })))
	return EXIT.done
}

function describe({ plan_id, changed, status, revision }: CommandOutput, typeCommand: TypeCommand): string {
	const what = `Plan ${plan_id} is ${status} at revision ${revision}.`
	return changed ? `${what} See it with: ${typeCommand(`show ${plan_id}`)}` : `${what} Nothing changed.`
}

/** Picks the fields that have a value. */
function pickDefined<Fields extends object>(fields: Fields): { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> } {
	return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never
}
