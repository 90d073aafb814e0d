import type { Planstream } from '@planstream/client'
import { type ListInput, type ListOutput, PlanstreamError } from '@planstream/shared'
import { UsageError } from './exit.js'

/** Stands for the newest plan, unless a plan has this id. */
const LAST = 'last'
/** Plans on one page, and pages that are searched for a prefix: the newest 10,000 plans. */
const PAGE = 1000
const PAGES = 10
/** Ids that an error lists. */
const NAMED = 8

/** The part of a server or a directory that ids are found in. */
interface Source {
	get(plan_id: string): Promise<unknown>
	list(input: ListInput): Promise<ListOutput>
}

/** Finds the plan on a server that a text means; see {@link findPlanId}. */
export function findServedPlanId({ plans }: Pick<Planstream, 'plans'>, text: string): Promise<string> {
	return findPlanId({ get: (plan_id) => plans.get({ plan_id }), list: (input) => plans.list(input) }, text)
}

/**
 * Finds the plan that an id, the start of one, or `last` means. A whole id comes first, even if others start with it; `last` is the
 * newest plan, and a start counts when a single one of the newest 10,000 plans has it.
 *
 * @throws UsageError names the candidates when several plans match
 * @throws PlanstreamError `not_found` when none does
 */
export async function findPlanId(source: Source, text: string): Promise<string> {
	try {
		await source.get(text)
		return text
	} catch (error) {
		// Any other refusal is about the plan itself, and the command that follows says it better.
		if (!(error instanceof PlanstreamError)) throw error
		if (error.code !== 'not_found') return text
		return await findOther(source, text, error)
	}
}

async function findOther(source: Source, text: string, unknown: PlanstreamError): Promise<string> {
	if (text === LAST) {
		const [newest] = (await source.list({ limit: 1 })).plans
		if (newest !== undefined) return newest.plan_id
		throw new UsageError('There are no plans yet, so none is the last one.')
	}
	const found: string[] = []
	for await (const plan_id of listNewest(source)) {
		if (plan_id.startsWith(text)) found.push(plan_id)
	}
	const [only] = found
	if (only === undefined) throw unknown
	if (found.length === 1) return only
	const more = found.length > NAMED ? `, and ${found.length - NAMED} more` : ''
	throw new UsageError(
		`${found.length} plans start with ${text}: ${found.slice(0, NAMED).join(', ')}${more}. Type more of the id.`,
	)
}

async function* listNewest(source: Source): AsyncGenerator<string, void, void> {
	let page: string | null = null
	for (let read = 0; read < PAGES; read++) {
		const found: ListOutput = await source.list({ limit: PAGE, ...(page !== null && { page }) })
		for (const { plan_id } of found.plans) yield plan_id
		page = found.next_page
		if (page === null) return
	}
}
