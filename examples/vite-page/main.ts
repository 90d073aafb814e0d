// A page that shows the plans of a server as they run, and one of them step by step.
// Run it with `npx vite examples/vite-page`, beside a server on this machine, and open it with ?plan=PLAN_ID.
import { createPlanstream, type PlanState, type PlanSummary } from '@planstream/client'

const address = new URLSearchParams(location.search)
const planstream = createPlanstream({ url: address.get('server') ?? 'http://localhost:3000' })

void showPlans()
const plan_id = address.get('plan')
if (plan_id !== null) void showPlan(plan_id)

/** The list: a first page, then whatever changes. */
async function showPlans(): Promise<void> {
	const plans = new Map<string, PlanSummary>()
	for await (const change of planstream.plans.changes({ limit: 20 })) {
		if (change.reset) plans.clear()
		for (const plan of change.plans) plans.set(plan.plan_id, plan)
		for (const id of change.removed) plans.delete(id)
		const newestFirst = [...plans.values()].sort((one, other) => other.created_at.localeCompare(one.created_at))
		element('plans').replaceChildren(...newestFirst.map((plan) => item(`${plan.plan_id}: ${plan.status}`, plan.progress)))
	}
}

/** One plan: its state as it is, then after each event, also when it is retried after its end. */
async function showPlan(id: string): Promise<void> {
	for await (const plan of planstream.plans.watch(id, { follow: 'always' })) show(plan)
}

function show({ query, status, steps }: PlanState): void {
	element('query').textContent = query
	element('status').textContent = status
	element('steps').replaceChildren(...steps.map(({ name, status: step, progress }) => item(`${name}: ${step}`, progress)))
}

/** A line with a bar; text is set as text, whatever a plan's name holds. */
function item(text: string, progress: number): HTMLLIElement {
	const line = document.createElement('li')
	const bar = document.createElement('progress')
	bar.value = progress
	line.append(bar, ` ${text}`)
	return line
}

function element(id: string): HTMLElement {
	const found = document.getElementById(id)
	if (found === null) throw new Error(`The page has no element "${id}".`)
	return found
}
