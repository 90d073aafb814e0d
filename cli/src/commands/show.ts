import type { ListInput, PlanSummary } from '@planstream/client'
import { connect } from '../connection.js'
import { readTerminal } from '../display.js'
import { EXIT, type ExitCode } from '../exit.js'
import { note, paint, wantsJson, writeLine } from '../output.js'
import { openPlans, type PlanLocation } from '../plans.js'
import { render } from '../render.js'
import { clip, fitColumns, toOneLine } from '../text.js'

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
	const show = wantsJson(json) ? (plan: PlanSummary) => JSON.stringify(plan) : formatLine
	let shown = 0
	let page: string | null = null
	do {
		const asked: ListInput = { ...filters, limit: Math.min(PAGE, limit - shown), ...(page !== null && { page }) }
		const { plans, next_page } = await kept.list(asked)
		for (const plan of plans) await writeLine(show(plan))
		shown += plans.length
		page = next_page
	} while (page !== null && shown < limit)
	if (page !== null) note(`There are more than ${limit} plans; raise --limit to see them.`)
	if (shown === 0) note(Object.keys(filters).length === 0 ? 'There are no plans yet.' : 'No plan matches.')
	return EXIT.done
}

function formatLine({ plan_id, status, progress, created_at, query }: PlanSummary): string {
	const percent = `${Math.floor(progress * 100)} %`.padStart(5)
	const time = created_at.slice(0, 16).replace('T', ' ')
	const { width } = readTerminal()
	return clip([fitColumns(toOneLine(plan_id), 28), fitColumns(status, 10), percent, time, toOneLine(query)].join('  '), width)
}

/** `planstream show`: prints the current state of a plan. */
export async function showCommand(plan_id: string, { json = false, ...place }: ShowOptions): Promise<ExitCode> {
	await using kept = await openPlans(place)
	const state = await kept.get(plan_id)
	const lines = wantsJson(json) ? [JSON.stringify(state)] : render(state, { ...readTerminal(), height: null })
	for (const text of lines) await writeLine(text)
	return EXIT.done
}

/** `planstream review PLAN`: prints open reviews with their payloads. */
export async function reviewsCommand(plan_id: string, { url, json = false }: ReviewsOptions): Promise<ExitCode> {
	await using planstream = await connect(url)
	const { reviews } = await planstream.reviews.list({ plan_id })
	for (const review of reviews) {
		if (wantsJson(json)) await writeLine(JSON.stringify(review))
		else {
			await writeLine(`${paint('bold', review.review_id)}  ${toOneLine(review.reason)}`)
			await writeLine(JSON.stringify(review.payload, null, 2))
		}
	}
	if (reviews.length === 0) note(`Plan ${plan_id} has no open review.`)
	return EXIT.done
}
