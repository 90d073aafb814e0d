// A page that shows the plans of a server as they run, and one of them step by step.
// Run it with `npx vite vite-page`, beside a server on this machine, and open it with ?plan=PLAN_ID.
import { createPlanstreamClient, type PlanState, type PlanSummary } from '@planstream/client'

const address = new URLSearchParams(location.search)
const planstream = createPlanstreamClient({ url: address.get('server') ?? 'http://localhost:3000' })

void showPlans()
const plan_id = address.get('plan')
if (plan_id !== null) void showPlan(plan_id)

/** Shows the list of plans: a first page, then the changes. */
async function showPlans(): Promise<void> {
	const plans = new Map<string, PlanSummary>()
	for await (const change of planstream.plans.changes({ limit: 20 })) {
		if (change.reset) plans.clear()
		for (const plan of change.plans) plans.set(plan.plan_id, plan)
		for (const id of change.removed) plans.delete(id)
		const newestFirst = [...plans.values()].sort((one, other) => other.created_at.localeCompare(one.created_at))
		findElement('plans').replaceChildren(
			...newestFirst.map((plan) => createItem(`${plan.plan_id}: ${plan.status}`, plan.progress)),
		)
	}
}

/** Shows one plan: its current state, then the state after each event, even if it is retried after its end. */
async function showPlan(id: string): Promise<void> {
	for await (const plan of planstream.plans.watch(id, { follow: 'always' })) show(plan)
}

function show({ query, status, steps }: PlanState): void {
	findElement('query').textContent = query
	findElement('status').textContent = status
	findElement('steps').replaceChildren(
		...steps.map(({ name, status: step, progress }) => createItem(`${name}: ${step}`, progress)),
	)
}

/** Makes a line with a progress bar. The text is never parsed as HTML, so names of plans are safe. */
function createItem(text: string, progress: number): HTMLLIElement {
	const line = document.createElement('li')
	const bar = document.createElement('progress')
	bar.value = progress
	line.append(bar, ` ${text}`)
	return line
}

function findElement(id: string): HTMLElement {
	const found = document.getElementById(id)
	if (found === null) throw new Error(`The page has no element "${id}".`)
	return found
}
