import { createPlanstreamClient } from '@planstream/client'
import { PlanstreamProvider, usePlan, usePlanEvents } from '@planstream/client/react'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'

const COMPONENTS = 50

declare global {
	interface Window {
		/** Shows a plan in fifty components. */
		show(url: string, plan_id: string): void
		/** Removes all of them. */
		leave(): void
		/** The number of times a component was rendered. */
		renderings: number
	}
}

/** Half of the components show the state, half the events. */
function Shown({ plan_id, at }: { readonly plan_id: string; readonly at: number }) {
	return at % 2 === 0 ? <State plan_id={plan_id} /> : <Count plan_id={plan_id} />
}

function State({ plan_id }: { readonly plan_id: string }) {
	const { state } = usePlan(plan_id)
	window.renderings++
	return <p>{`${state?.status ?? 'unknown'} ${state?.seq ?? 0}`}</p>
}

function Count({ plan_id }: { readonly plan_id: string }) {
	const { events } = usePlanEvents(plan_id)
	window.renderings++
	const inOrder = events.every(({ seq }, index) => seq === index + 1)
	return <p>{`${inOrder ? 'counted' : 'disordered'} ${events.length}`}</p>
}

const root = createRoot(document.body.appendChild(document.createElement('div')))
window.renderings = 0
window.show = (url, plan_id) => {
	const client = createPlanstreamClient({ url })
	const shown = Array.from({ length: COMPONENTS }, (_, at) => <Shown key={`${at + 1}`} plan_id={plan_id} at={at} />)
	root.render(
		<StrictMode>
			<PlanstreamProvider client={client}>{shown}</PlanstreamProvider>
		</StrictMode>,
	)
}
window.leave = () => root.render(null)
