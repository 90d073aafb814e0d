import {
	type ListOutput,
	type PlanResultOutput,
	PlanstreamError,
	type ReviewsOutput,
	type StepResultOutput,
} from '@planstream/shared'
import type { listInput } from '@planstream/shared/schemas'
import type * as z from 'zod'
import type { Hub } from '../hub/hub.js'
import { findStep, getResult, type PlanFold, unknownPlan } from '../hub/plan-fold.js'
import type { Principal } from '../hub/principal.js'
import type { ListQuery } from '../log/event-log.js'
import { getOwn } from '../ops/json.js'

/**
 * Reads the folded state of a plan.
 *
 * @throws PlanstreamError `not_found`
 */
export async function readFold(hub: Hub, principal: Principal, plan_id: string): Promise<PlanFold> {
	const fold = await hub.fold({ tenant: principal.tenant, plan_id })
	if (fold !== null) return fold
	throw unknownPlan(plan_id)
}

/**
 * Reads the full result of a completed plan, however large.
 *
 * @throws PlanstreamError `not_found` for an unknown plan, and for one without a result
 */
export async function readPlanResult(hub: Hub, principal: Principal, plan_id: string): Promise<PlanResultOutput> {
	const { status, result, result_seq } = (await readFold(hub, principal, plan_id)).state
	if (status !== 'completed') {
		const message = `Plan ${plan_id} is ${status}. A result exists only once a plan is completed.`
		throw new PlanstreamError('not_found', message, { plan_id, plan_status: status })
	}
	const whole = result_seq === undefined ? result : await hub.resultAt({ tenant: principal.tenant, plan_id }, result_seq)
	return { plan_id, result: whole }
}

/**
 * Reads the full result of a completed step, however large.
 *
 * @throws PlanstreamError `not_found` for an unknown plan or step, and for a step without a result
 */
export async function readStepResult(
	hub: Hub,
	principal: Principal,
	{ plan_id, step_id }: { readonly plan_id: string; readonly step_id: string },
): Promise<StepResultOutput> {
	const fold = await readFold(hub, principal, plan_id)
	const step = findStep(fold.state, step_id)
	if (step === undefined) throw new PlanstreamError('not_found', `Plan ${plan_id} has no step ${step_id}.`, { plan_id, step_id })
	if (step.status !== 'completed') {
		const message = `Step ${step_id} is ${step.status}. A result exists only once a step is completed.`
		throw new PlanstreamError('not_found', message, { plan_id, step_id, step_status: step.status })
	}
	const result =
		step.result_seq === undefined
			? getResult(fold, step_id)
			: await hub.resultAt({ tenant: principal.tenant, plan_id }, step.result_seq)
	return { plan_id, step_id, attempt: step.attempt, result: result as StepResultOutput['result'] }
}

/**
 * Lists the reviews that are open now, each with the payload to review.
 *
 * @throws PlanstreamError `not_found`
 */
export async function listOpenReviews(hub: Hub, principal: Principal, plan_id: string): Promise<ReviewsOutput> {
	const fold = await readFold(hub, principal, plan_id)
	const reviews = fold.state.steps.flatMap(({ step_id, attempt, review }) =>
		review === null ? [] : [{ ...review, step_id, attempt, payload: getOwn(fold.held, step_id) ?? null }],
	)
	return { plan_id, reviews }
}

/** Lists one page of the caller's plans. */
export function listPlans(hub: Hub, principal: Principal, input: z.output<typeof listInput>): Promise<ListOutput> {
	return hub.list(principal, toListQuery(input))
}

/** Converts the input of a list to the hub's query. Labels come as `name=value` because that fits into a URL. */
export function toListQuery({ label, ...query }: z.output<typeof listInput>): Omit<ListQuery, 'tenant'> {
	return dropUndefined({ ...query, labels: label && parseLabels(label) })
}

function parseLabels(texts: readonly string[]): Record<string, string> {
	const labels = new Map<string, string>()
	for (const text of texts) {
		const at = text.indexOf('=')
		const name = text.slice(0, at)
		if (labels.has(name)) {
			const message = `label names "${name}" twice, but a plan has one value per label. Name each label once.`
			throw new PlanstreamError('bad_request', message, { path: 'label' })
		}
		labels.set(name, text.slice(at + 1))
	}
	return Object.fromEntries(labels)
}

type Defined<T> = { [Key in keyof T]: Exclude<T[Key], undefined> }

function dropUndefined<T extends object>(fields: T): Defined<T> {
	return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<T>
}
