import type { ListInput, PlanSummary } from '@planstream/client'
import type { PlanState } from '@planstream/shared'
import { connect, createTypeCommand } from '../connection.js'
import { readResultView, readTerminal } from '../display.js'
import { EXIT, type ExitCode } from '../exit.js'
import { note, paint, writeLine } from '../output.js'
import { findPlanId, findServedPlanId } from '../plan-ids.js'
import { openPlans, type PlanLocation, type Plans } from '../plans.js'
import { formatAnswer, isWaiting, render, type TypeCommand } from '../render.js'
import { renderResult } from '../result.js'
import { clip, fitColumns, toOneLine, wrap } from '../text.js'

export interface ShowOptions extends PlanLocation {
	readonly json?: boolean
}

export interface ReviewsOptions {
	readonly url?: string
	readonly json?: boolean
}

export interface ListOptions extends ShowOptions {
	readonly status?: ListInput['status']
	readonly label?: string[]
	readonly query?: string
	readonly limit: number
}

const PAGE = 1000

/** `planstream list`: prints plans, newest first; as JSON, one object per line. */
export async function listCommand({ url, data, tenant, json = false, limit, ...filters }: ListOptions): Promise<ExitCode> {
	await using kept = await openPlans({ url, data, tenant })
	let shown = 0
	let page: string | null = null
	do {
		const asked: ListInput = { ...filters, limit: Math.min(PAGE, limit - shown), ...(page !== null && { page }) }
		const { plans, next_page } = await kept.list(asked)
		if (json) for (const plan of plans) await writeLine(JSON.stringify(plan))
		else await printTable(plans, kept, createTypeCommand({ url, data }))
		shown += plans.length
		page = next_page
	} while (page !== null && shown < limit)
	if (page !== null) note(`There are more than ${limit} plans; raise --limit to see them.`)
	if (shown === 0) note(Object.keys(filters).length === 0 ? 'There are no plans yet.' : 'No plan matches.')
	return EXIT.done
}

/** Prints a line for each plan; ids are whole, and what a narrow terminal has no room for is cut at the end. */
async function printTable(plans: readonly PlanSummary[], kept: Plans, typeCommand: TypeCommand): Promise<void> {
	const waiting = await findWaiting(plans, kept)
	const columns = plans.reduce((widest, { plan_id }) => Math.max(widest, plan_id.length), 0)
	const width = process.stdout.isTTY ? readTerminal(typeCommand).width : Number.POSITIVE_INFINITY
	for (const plan of plans) {
		const review = waiting.get(plan.plan_id)
		await writeLine(formatLine(plan, columns, width, review !== undefined))
		if (review === undefined) continue
		const answer = `${formatAnswer(plan.plan_id, review, typeCommand)}  (or reject, edit)`
		for (const line of wrap(answer, width - 2)) await writeLine(`  ${line}`)
	}
}

function formatLine(
	{ plan_id, status, progress, created_at, query }: PlanSummary,
	columns: number,
	width: number,
	waits: boolean,
) {
	const percent = `${Math.floor(progress * 100)} %`.padStart(5)
	const time = created_at.slice(0, 16).replace('T', ' ')
	const state = waits ? paint('yellow', fitColumns('waits for you', STATUS_COLUMNS)) : fitColumns(status, STATUS_COLUMNS)
	const room = width - columns - 2 - STATUS_COLUMNS
	const rest = ['', percent, time, toOneLine(query)].join('  ')
	return `${fitColumns(plan_id, columns)}  ${state}${room === Number.POSITIVE_INFINITY ? rest : clip(rest, Math.max(0, room))}`.trimEnd()
}

const STATUS_COLUMNS = 13
/** States that are read at once to find out which plans wait for a person. */
const READS = 8

/** Finds the first open review of each plan that waits for a person. A plan that goes away meanwhile does not wait. */
async function findWaiting(plans: readonly PlanSummary[], kept: Plans): Promise<Map<string, string>> {
	const open = plans.filter(({ owner, finished, status }) => owner === 'managed' && !finished && status !== 'pending')
	const waiting = new Map<string, string>()
	for (let at = 0; at < open.length; at += READS) {
		const states = await Promise.all(open.slice(at, at + READS).map(({ plan_id }) => kept.get(plan_id).catch(() => null)))
		for (const state of states) {
			const review = state !== null && isWaiting(state) ? findReview(state) : null
			if (state !== null && review !== null) waiting.set(state.plan_id, review)
		}
	}
	return waiting
}

function findReview({ steps }: PlanState): string | null {
	return steps.find(({ review }) => review !== null)?.review?.review_id ?? null
}

/** `planstream show`: prints the current state of a plan. */
export async function showCommand(plan: string, { json = false, ...place }: ShowOptions): Promise<ExitCode> {
	await using kept = await openPlans(place)
	const state = await kept.get(await findPlanId(kept, plan))
	const view = { ...readTerminal(createTypeCommand(place)), height: null }
	const lines = json ? [JSON.stringify(state)] : render(state, process.stdout.isTTY ? view : { ...view, width: WIDE })
	for (const text of lines) await writeLine(text)
	return EXIT.done
}

/** Columns of a pipe: nothing is cut that a person could want to read. */
const WIDE = 10_000

/** `planstream review PLAN`: prints open reviews with their payloads. */
export async function reviewsCommand(plan: string, { url, json = false }: ReviewsOptions): Promise<ExitCode> {
	await using planstream = await connect(url)
	const plan_id = await findServedPlanId(planstream, plan)
	const typeCommand = createTypeCommand({ url })
	const { reviews } = await planstream.reviews.list({ plan_id })
	for (const [at, review] of reviews.entries()) {
		if (json) await writeLine(JSON.stringify(review))
		else {
			await writeLine(`${at === 0 ? '' : '\n'}${paint('bold', toOneLine(review.review_id))}  ${toOneLine(review.reason)}`)
			for (const line of renderResult(review.payload, readResultView(typeCommand))) await writeLine(`  ${line}`.trimEnd())
			await writeLine(`Answer it with: ${formatAnswer(plan_id, review.review_id, typeCommand)}  (or reject, edit)`)
		}
	}
	if (reviews.length === 0) note(`Plan ${plan_id} has no open review.`)
	return EXIT.done
}
