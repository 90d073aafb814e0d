import { randomUUID } from 'node:crypto'
import type { CommandOutput, ModifyInput, Planstream, ReviewInput } from '@planstream/client'
import { connect } from '../connection.js'
import { EXIT, type ExitCode, UsageError } from '../exit.js'
import { isObject, openInput, readJson } from '../input.js'
import { wantsJson, writeLine } from '../output.js'

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

export function pauseCommand(plan_id: string, options: PauseOptions): Promise<ExitCode> {
	const { interrupt = false, reason } = options
	const mode = interrupt ? 'interrupt' : 'drain'
	return control(options, ({ plans }, key) => plans.pause({ plan_id, mode, ...pickDefined({ reason }), ...key }))
}

export function startCommand(plan_id: string, options: ControlOptions): Promise<ExitCode> {
	return control(options, ({ plans }, key) => plans.start({ plan_id, ...key }))
}

export function resumeCommand(plan_id: string, options: ControlOptions): Promise<ExitCode> {
	return control(options, ({ plans }, key) => plans.resume({ plan_id, ...key }))
}

export function cancelCommand(plan_id: string, options: ReasonOptions): Promise<ExitCode> {
	const { reason } = options
	return control(options, ({ plans }, key) => plans.cancel({ plan_id, ...pickDefined({ reason }), ...key }))
}

/** Retries one step, or the whole plan without one. */
export function retryCommand(plan_id: string, step_id: string | undefined, options: RetryOptions): Promise<ExitCode> {
	const { cascade = false } = options
	if (step_id !== undefined) return control(options, ({ steps }, key) => steps.retry({ plan_id, step_id, cascade, ...key }))
	if (cascade) throw new UsageError('--cascade needs a step. Name the step after the plan, or remove --cascade.')
	return control(options, ({ plans }, key) => plans.retry({ plan_id, ...key }))
}

export function skipCommand(plan_id: string, step_id: string, options: ReasonOptions): Promise<ExitCode> {
	const { reason } = options
	return control(options, ({ steps }, key) => steps.skip({ plan_id, step_id, ...pickDefined({ reason }), ...key }))
}

/** Sends the operations in a file, a list or an object with `ops`. The server validates them and names the path of an error. */
export async function modifyCommand(plan_id: string, file: string, options: ModifyOptions): Promise<ExitCode> {
	const edit = await readJson(openInput(file))
	const { expectedRevision: expected_revision } = options
	const asked = Array.isArray(edit) ? { ops: edit } : isObject(edit) ? edit : null
	if (asked === null)
		throw new UsageError(
			`${file} does not contain an edit. An edit is a list of operations such as { "op": "remove_step", ... }.`,
		)
	const input = { ...asked, ...pickDefined({ expected_revision }) } as Omit<ModifyInput, 'plan_id'>
	return control(options, ({ plans }, key) => plans.modify({ ...key, ...input, plan_id }))
}

export type Decision = ReviewInput['decision']

export async function answerCommand(
	plan_id: string,
	review_id: string,
	decision: Decision,
	options: AnswerOptions,
): Promise<ExitCode> {
	const payload = options.payload === undefined ? undefined : await readJson(openInput(options.payload))
	if (payload !== undefined && !isObject(payload))
		throw new UsageError(`${options.payload} does not contain a result. A result is a JSON object.`)
	const said = pickDefined({ comment: options.comment, payload: payload as ReviewInput['payload'] })
	return control(options, ({ reviews }, key) => reviews.answer({ plan_id, review_id, decision, ...said, ...key }))
}

export function cloneCommand(plan_id: string, options: CloneOptions): Promise<ExitCode> {
	const { id: new_plan_id, start } = options
	return control(options, ({ plans }, key) => plans.clone({ plan_id, start, ...pickDefined({ new_plan_id }), ...key }))
}

type Ask = (planstream: Planstream, key: { readonly idempotency_key: string }) => Promise<CommandOutput>

/** Sends one command with its own idempotency key, so that it takes effect once even if it is resent, and prints the outcome. */
async function control({ url, json = false }: ControlOptions, ask: Ask): Promise<ExitCode> {
	await using planstream = await connect(url)
	const answer = await ask(planstream, { idempotency_key: `cli-${randomUUID()}` })
	await writeLine(wantsJson(json) ? JSON.stringify(answer) : describe(answer))
	return EXIT.done
}

function describe({ plan_id, changed, status, revision }: CommandOutput): string {
	const what = `Plan ${plan_id} is ${status} at revision ${revision}.`
	return changed ? `${what} See it with: planstream show ${plan_id}` : `${what} Nothing changed.`
}

/** Picks the fields that have a value. */
function pickDefined<Fields extends object>(fields: Fields): { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> } {
	return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never
}
