import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import { type Agent, type Principal, type RunningServer, startServer } from '@planstream/server'
import { contract } from '@planstream/shared/schemas'

/** The outcome of one task in its window. */
export interface Done {
	/** Requested events, queries or commands. */
	readonly asked: number
	/** Those that were observed. */
	readonly seen: number
	/** Microseconds from request to result, one record per plan, query or command. */
	readonly latency: RecordableHistogram
}

/** Plans per second of the window; the usual window runs 1,000 plans and lists 10,000. */
export const PLANS_A_SECOND = { run: 500, list: 5000 } as const

const STEPS = 10
/** Events of one plan: plan_created, plan_started, two per step, plan_completed. */
const EVENTS_A_PLAN = 3 + 2 * STEPS
const IN_FLIGHT = 256
const PRINCIPAL: Principal = {
	tenant: 'default',
	actor: { type: 'user', id: 'bench' },
	scopes: new Set(['plans:read', 'plans:write']),
}

/** An agent that does nothing. Its result waits for a review if the step has a gate. */
const idle: Agent = { type: 'idle', execute: () => Promise.resolve({ data: {}, quality_score: 0.7 }) }
const serverIn = (directory: string) => startServer({ store: { kind: 'sqlite', directory }, port: 0, agents: [idle] })

export const TASKS = { run: runPlans, list: listPlans, 'list filtered': listFiltered, commands: giveCommands } as const
export type TaskName = keyof typeof TASKS

function create({ executor }: RunningServer, index: number, more: object = {}) {
	const steps = Array.from({ length: STEPS }, (_, at) => ({ step_id: `step_${at}`, action: 'rest', agent_type: 'idle' }))
	const labels = { team: `team_${index % 10}` }
	const plan = { plan_id: `plan_${index}`, query: `What is the answer to question ${index}?`, labels, steps, ...more }
	return executor.create(PRINCIPAL, contract['plans.create'].input.parse(plan))
}

/** Creates plans as fast as they are durable, and runs all of them to their end. */
async function runPlans(directory: string, seconds: number): Promise<() => Promise<Done>> {
	const server = await serverIn(directory)
	const plans = Math.ceil(PLANS_A_SECOND.run * seconds)
	return async () => {
		const latency = createHistogram()
		const begun = new Map<string, number>()
		let seen = 0
		const finished = new Promise<void>((resolve) => {
			server.hub.on('plan_completed', ({ plan_id, seq }) => {
				record(latency, begun.get(plan_id) ?? 0)
				begun.delete(plan_id)
				seen += seq
				if (latency.count === plans) resolve()
			})
		})
		await runInFlight(plans, async (index) => {
			begun.set(`plan_${index}`, performance.now())
			await create(server, index)
		})
		await finished
		return { asked: plans * EVENTS_A_PLAN, seen, latency }
	}
}

function listPlans(directory: string, seconds: number): Promise<() => Promise<Done>> {
	return listWith({}, directory, seconds)
}

function listFiltered(directory: string, seconds: number): Promise<() => Promise<Done>> {
	return listWith({ status: ['pending'], labels: { team: 'team_7' }, query: 'QUESTION 4' }, directory, seconds)
}

/** Lists pages of 100 out of many plans, one after another. */
async function listWith(filter: object, directory: string, seconds: number): Promise<() => Promise<Done>> {
	const server = await serverIn(directory)
	await runInFlight(Math.ceil(PLANS_A_SECOND.list * seconds), (index) => create(server, index, { start: false }))
	return async () => {
		const latency = createHistogram()
		const deadline = performance.now() + seconds * 1000
		while (performance.now() < deadline) {
			const begun = performance.now()
			await server.hub.list(PRINCIPAL, { limit: 100, ...filter })
			record(latency, begun)
		}
		return { asked: latency.count, seen: latency.count, latency }
	}
}

/** Pauses and resumes one plan in turn, each time until the subscriber has the event. */
async function giveCommands(directory: string, seconds: number): Promise<() => Promise<Done>> {
	const server = await serverIn(directory)
	const step = { step_id: 'waits', action: 'rest', agent_type: 'idle', quality: { min_score: 0.5, approve_score: 0.9 } }
	await create(server, 0, { steps: [step] })
	const watch = { after: 'start', snapshot: false, follow: 'always', signal: new AbortController().signal } as const
	const events = server.hub.subscribe(PRINCIPAL, 'plan_0', watch)
	const shown = async (event_type: string): Promise<void> => {
		for (let item = await events.next(); !item.done; item = await events.next())
			if (item.value.kind === 'event' && item.value.stored.text.includes(`"event_type":"${event_type}"`)) return
	}
	await shown('review_required')
	return async () => {
		const latency = createHistogram()
		const deadline = performance.now() + seconds * 1000
		for (let pausing = true; performance.now() < deadline; pausing = !pausing) {
			const begun = performance.now()
			const arrived = shown(pausing ? 'plan_paused' : 'plan_resumed')
			await server.executor.command(PRINCIPAL, 'plan_0', pausing ? { kind: 'pause', mode: 'drain' } : { kind: 'resume' })
			await arrived
			record(latency, begun)
		}
		return { asked: latency.count, seen: latency.count, latency }
	}
}

function record(latency: RecordableHistogram, begun: number): void {
	latency.record(Math.max(1, Math.round((performance.now() - begun) * 1000)))
}

/** Calls a function this many times, with a bounded number of calls at once. */
async function runInFlight(count: number, one: (index: number) => Promise<unknown>): Promise<void> {
	let next = 0
	const work = async (): Promise<void> => {
		while (next < count) await one(next++)
	}
	await Promise.all(Array.from({ length: IN_FLIGHT }, work))
}
