import '../../support/browser/happy-dom.js' // React finds it when it is loaded
import { createPlanstreamClient, type PlanEvent, type PlanSpec, type PlanState } from '@planstream/client'
import { PlanstreamProvider, useConnection, usePlan, usePlanCommand, usePlanEvents, usePlans } from '@planstream/client/react'
import { type ReactNode, StrictMode, version } from 'react'
import { createRoot, hydrateRoot, type Root } from 'react-dom/client'
import { renderToString } from 'react-dom/server'
import { describe, expect, it, onTestFinished } from 'vitest'
import { WebSocket } from 'ws'
import { createContainer } from '../../support/browser/happy-dom.js'
import { createWatchCountingClient } from '../../support/client/watch-counting-client.js'
import { startFaultProxy } from '../../support/servers/fault-proxy.js'
import { startTestServer } from '../../support/servers/test-server.js'

const STEPS: PlanSpec = {
	plan_id: 'p',
	query: 'What does a page show?',
	steps: ['one', 'two'].map((step_id) => ({ step_id, action: 'act', agent_type: 'scripted', input: { result: {} } })),
}

async function setUp() {
	const server = await startTestServer()
	const planstream = createWatchCountingClient({ url: server.url, WebSocket })
	const places: { readonly root: Root; readonly element: Element }[] = []
	const inside = (children: ReactNode) => <PlanstreamProvider client={planstream}>{children}</PlanstreamProvider>
	onTestFinished(async () => {
		for (const { root } of places) root.unmount()
		await planstream.close()
		await server.close()
	})
	const mount = (children: ReactNode) => {
		const element = createContainer()
		const root = createRoot(element)
		places.push({ root, element })
		root.render(inside(children))
		return { element, render: (next: ReactNode) => root.render(inside(next)), unmount: () => root.unmount() }
	}
	const subscribers = async () => (await planstream.plans.subscribers({ plan_id: 'p' })).subscriber_count
	return { server, planstream, places, inside, mount, subscribers }
}

/** Notes each rendering of what it shows. */
function Status({ initialState, seen = [] }: { initialState?: PlanState; seen?: (number | null)[] }) {
	const { state, error } = usePlan('p', { initialState })
	seen.push(state?.seq ?? null)
	return <p>{error === null ? (state?.status ?? 'unknown') : error.message}</p>
}

function isStep(event: PlanEvent) {
	return event.event_type === 'step_started' || event.event_type === 'step_completed'
}

function Steps() {
	const { events } = usePlanEvents('p', { filter: isStep })
	return <ol>{events.map(({ seq, step_id, data }) => `${seq} ${step_id} ${'status' in data ? data.status : data.attempt};`)}</ol>
}

const text = ({ element }: { readonly element: Element }) => element.textContent
const eventually = <Value,>(value: () => Value | Promise<Value>) => expect.poll(value, { timeout: 4_000 })

const { REACT_MAJOR = '19' } = process.env

describe(`a page of components of React ${REACT_MAJOR}`, () => {
	it('runs on that version', () => {
		expect(version.split('.')[0]).toBe(REACT_MAJOR)
	})

	it('says in every hook how the client is connected, while the server is away and when it is back', async () => {
		await using server = await startTestServer()
		await using proxy = await startFaultProxy(server.url)
		await using planstream = createPlanstreamClient({
			url: proxy.url,
			transport: 'websocket',
			WebSocket,
			backoff: { initialMs: 5, maxMs: 5 },
		})
		proxy.away = true
		function Shown() {
			const { state, error } = useConnection()
			const plan = usePlan('p')
			const list = usePlans()
			const { events, connection } = usePlanEvents('q')
			const command = usePlanCommand()
			const others = [plan.connection, list.connection, connection, command.connection]
			const isSame = others.every((other) => other.state === state && other.error === error)
			const errors = [plan.error, list.error, command.error].filter((each) => each !== null)
			return `${state} ${error?.name ?? 'none'} ${isSame} ${errors.length} ${plan.state === null} ${list.plans === null} ${events.length}`
		}
		const element = createContainer()
		const root = createRoot(element)
		root.render(
			<PlanstreamProvider client={planstream}>
				<Shown />
			</PlanstreamProvider>,
		)
		await eventually(() => element.textContent).toBe('reconnecting ConnectionLost true 0 true true 0')
		proxy.away = false
		await eventually(() => element.textContent).toBe('open none true 0 true false 0')
		root.unmount()
		await eventually(() => planstream.connection.state).toBe('idle')
	})

	it('shows the reviews that wait for a person, and the part of a step that runs', async () => {
		const { planstream, mount } = await setUp()
		const input = { result: {}, quality_score: 0.9 }
		const step = { step_id: 'one', action: 'act', agent_type: 'scripted', input, quality: { require_review: true } }
		function Shown() {
			const { state, reviews } = usePlan('p')
			const { plans } = usePlans()
			return `${state?.status} ${reviews.map(({ step_id, reason }) => `${step_id} ${reason}`).join()} ${plans?.[0]?.open_reviews}`
		}
		const { element } = mount(<Shown />)
		await planstream.plans.create({ plan_id: 'p', query: 'q', steps: [step] })
		await eventually(() => element.textContent).toMatch(/^running one \S.* 1$/)
		const { reviews } = await planstream.reviews.list({ plan_id: 'p' })
		for (const { review_id } of reviews) await planstream.reviews.answer({ plan_id: 'p', review_id, decision: 'approve' })
		await eventually(() => element.textContent).toBe('completed  0')
	})

	it('shows an error at once for a plan without an id', async () => {
		const { mount } = await setUp()
		function Shown() {
			const { error } = usePlan(undefined as never)
			return error?.message ?? 'none'
		}
		const { element } = mount(<Shown />)
		await eventually(() => element.textContent).toBe('plan_id is undefined. Use 1 to 255 letters, digits, "_" or "-".')
	})

	it('shows the progress of a plan, and controls it', async () => {
		const { planstream, mount } = await setUp()
		await planstream.plans.create({ ...STEPS, start: false })
		const results: unknown[] = []
		function Start() {
			const { send, pending, error } = usePlanCommand()
			const start = () => void send(({ plans }) => plans.start({ plan_id: 'p' })).then((answer) => results.push(answer))
			const again = () => void send(({ plans }) => plans.resume({ plan_id: 'p' })).then((answer) => results.push(answer))
			return (
				<>
					<Status />
					<button type="button" onClick={start} />
					<button type="button" onClick={again} />
					{pending ? 'pending' : (error?.message ?? 'fine')}
				</>
			)
		}
		const page = mount(<Start />)
		await eventually(() => text(page)).toBe('pendingfine')
		const [start, again] = page.element.querySelectorAll('button')
		start?.click()
		await eventually(() => text(page)).toBe('completedfine')
		again?.click()
		await eventually(() => text(page)).toMatch(/completed.*resume/)
		expect(results).toMatchObject([{ plan_id: 'p', changed: true }, undefined])
	})

	it('keeps one subscription for any number of components, and none when they are gone', async () => {
		const { server, planstream, mount, subscribers } = await setUp()
		await planstream.plans.create({ ...STEPS, start: false })
		const fifty = Array.from({ length: 25 }, (_, index) => [<Status key={`s${index}`} />, <Steps key={`e${index}`} />])
		const page = mount(<StrictMode>{fifty}</StrictMode>)
		await eventually(() => text(page)).toBe('pending'.repeat(25))
		expect([await subscribers(), server.report().subscriptions]).toEqual([1, 1])
		expect(planstream.watched).toEqual([{ plan_id: 'p', from: 'start' }])
		page.render(fifty.slice(0, 10))
		await planstream.plans.start({ plan_id: 'p' })
		const steps = '3 one 1;4 one success;5 two 1;6 two success;'
		await eventually(() => text(page)).toBe(`completed${steps}`.repeat(10))
		page.unmount()
		await eventually(() => server.report()).toMatchObject({ connections: 0, subscriptions: 0, watchers: 0 })
		expect(planstream.watched).toHaveLength(1)
	})

	it('reads events from their start once a component shows them, and never shows an older state', async () => {
		const { planstream, mount, subscribers } = await setUp()
		await planstream.plans.create({
			...STEPS,
			steps: [...STEPS.steps, { ...STEPS.steps[0], step_id: 'hang', input: { hang: true } }],
		} as PlanSpec)
		const seen: (number | null)[] = []
		const page = mount(<Status seen={seen} />)
		await eventually(() => seen.at(-1)).toBe(7)
		expect(planstream.watched).toEqual([{ plan_id: 'p', from: 'now' }])
		page.render(
			<>
				<Status seen={seen} />
				<Steps />
			</>,
		)
		await eventually(() => text(page)).toBe('running3 one 1;4 one success;5 two 1;6 two success;7 hang 1;')
		expect(await subscribers()).toBe(1)
		expect(new Set(seen)).toEqual(new Set([null, 7]))
	})

	it('is rendered on a server with the state known there, and continues after it', async () => {
		const { planstream, places, inside } = await setUp()
		await planstream.plans.create({ ...STEPS, start: false })
		const initialState = await planstream.plans.get({ plan_id: 'p' })
		const seen: (number | null)[] = []
		const app = inside(<Status initialState={initialState} seen={seen} />)
		const html = renderToString(app)
		expect(html).toBe('<p>pending</p>')
		expect(planstream.watched).toEqual([])
		const element = createContainer()
		element.innerHTML = html
		const faults: unknown[] = []
		places.push({ root: hydrateRoot(element, app, { onRecoverableError: (fault) => faults.push(fault) }), element })
		await eventually(() => planstream.watched).toEqual([{ plan_id: 'p', from: initialState }])
		await planstream.plans.start({ plan_id: 'p' })
		await eventually(() => text({ element })).toBe('completed')
		expect(faults).toEqual([])
		expect(seen).not.toContain(null)
	})

	it('is drawn once a frame however many events arrive', async () => {
		const { server, mount } = await setUp()
		await using producer = createPlanstreamClient({ url: server.url })
		const seen: (number | null)[] = []
		mount(<Status seen={seen} />)
		await eventually(() => seen.length).toBeGreaterThan(0)
		const EVENTS = 1024
		for (let from = 0; from < EVENTS; from += 256) {
			const events = Array.from({ length: 256 }, (_, index) => {
				const data = { channel: 'log', index: from + index, delta: 'x' } as const
				return { event_type: 'step_output', step_id: 's', data } as const
			})
			await producer.events.publish({ plan_id: 'p', events })
		}
		await eventually(() => seen.at(-1)).toBe(EVENTS)
		expect(seen.length).toBeLessThan(EVENTS / 4)
	})

	it('shows the list of plans as it changes', async () => {
		const { server, planstream, mount } = await setUp()
		function List() {
			const { plans } = usePlans({ status: ['completed'] })
			return <p>{plans?.length === 0 ? 'none;' : plans?.map(({ plan_id }) => `${plan_id};`)}</p>
		}
		const page = mount([<List key="1" />, <List key="2" />])
		await eventually(() => text(page)).toBe('none;none;')
		expect(server.report().connections).toBe(1)
		for (const plan_id of ['a', 'b']) await planstream.plans.run({ ...STEPS, plan_id })
		await eventually(() => text(page)).toBe('b;a;b;a;')
		await planstream.plans.delete({ plan_id: 'b' })
		await eventually(() => text(page)).toBe('a;a;')
		page.unmount()
		await eventually(() => server.report().connections).toBe(0)
	})

	it('gives the reason when it shows nothing', async () => {
		const { planstream, mount } = await setUp()
		await planstream.close()
		const page = mount(<Status />)
		await eventually(() => text(page)).toMatch(/^This client is closed/)
		expect(() => renderToString(<Status />)).toThrow('There is no PlanstreamProvider above this component.')
	})
})
