import type { CommandOutput, PublishOutput } from '@planstream/shared'
import { contract, type ProcedureName, type ProcedureSpec, SCOPES } from '@planstream/shared/schemas'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fillRoute } from '../../../client/src/http.js'
import { sendRequest } from '../../support/http-request.js'
import { bearer, type KeyedServer, startKeyedServer } from '../../support/servers/keyed-server.js'
import {
	connectPlainSocket,
	type PlainMessage,
	type SocketClient,
	TrpcSocketClient,
} from '../../support/streams/socket-client.js'

type Tenant = 'alice' | 'bob' | 'nobody'

/** Plans of Alice, and one that is nobody's. */
const MANAGED = 'run_1'
const EXTERNAL = 'ext_1'
const UNKNOWN = 'not_1'

const grant = (tenant: string) => ({ tenant, scopes: SCOPES })
const step = { step_id: 'a', action: 'x', agent_type: 'scripted', input: { result: { secret: 1 } } }
const spec = (plan_id: string) => ({ plan_id, query: 'q', steps: [step] })
const started = { event_id: 'e1', event_type: 'plan_started', data: { query: 'q', total_steps: 1 } }

let server: KeyedServer<Tenant>
let sockets: Record<Tenant, TrpcSocketClient>
/** Alice follows a plan of hers throughout. */
let follower: SocketClient<PlainMessage>
/** Behind the last event of Alice's own plan. */
let cursor: string
beforeAll(async () => {
	server = await startKeyedServer({ alice: grant('alice'), bob: grant('bob'), nobody: grant('nobody') })
	const open = (tenant: Tenant) => new TrpcSocketClient(server, '/trpc', { headers: bearer(server.keys[tenant]) }).open()
	sockets = { alice: await open('alice'), bob: await open('bob'), nobody: await open('nobody') }
	await rest('alice', 'plans.create', { ...spec(MANAGED), idempotency_key: 'k' })
	const { text } = await sendRequest(server, `/api/v1/streaming/plans/${MANAGED}/events`, { headers: bearer(server.keys.alice) })
	cursor = [...text.matchAll(/^id: (\S+)$/gm)].at(-1)?.[1] ?? ''
	await rest('alice', 'events.publish', { plan_id: EXTERNAL, events: [started] })
	follower = await connectPlainSocket(server.url, `alices?plan_id=${EXTERNAL}`, { headers: bearer(server.keys.alice) })
})
afterAll(async () => {
	for (const wire of [follower, ...Object.values(sockets)]) await wire[Symbol.asyncDispose]()
	await server[Symbol.asyncDispose]()
})

/** What is asked about one plan, for every procedure that takes one; the others are asked by themselves below. */
const OPERATIONS: Record<Exclude<ProcedureName, keyof typeof ELSEWHERE>, (plan_id: string) => readonly object[]> = {
	'plans.start': (plan_id) => [{ plan_id }],
	'plans.pause': (plan_id) => [{ plan_id }, { plan_id, mode: 'interrupt' }],
	'plans.resume': (plan_id) => [{ plan_id }],
	'plans.cancel': (plan_id) => [{ plan_id }, { plan_id, idempotency_key: 'k' }],
	'plans.retry': (plan_id) => [{ plan_id }, { plan_id, expected_revision: 1 }],
	'plans.modify': (plan_id) => [{ plan_id, ops: [{ op: 'remove_step', step_id: 'a' }] }],
	'plans.clone': (plan_id) => [{ plan_id }, { plan_id, new_plan_id: 'clone_1' }],
	'plans.delete': (plan_id) => [{ plan_id }],
	'plans.result': (plan_id) => [{ plan_id }],
	'plans.clear': (plan_id) => [{ plan_id }],
	'plans.get': (plan_id) => [{ plan_id }],
	'plans.events': (plan_id) => [{ plan_id }, { plan_id, after: cursor }, { plan_id, after: 2 }, { plan_id, snapshot: true }],
	'plans.history': (plan_id) => [{ plan_id }, { plan_id, after: cursor }, { plan_id, after: 'now' }, { plan_id, limit: 1 }],
	'plans.subscribers': (plan_id) => [{ plan_id }],
	'steps.retry': (plan_id) => [{ plan_id, step_id: 'a', cascade: true }],
	'steps.skip': (plan_id) => [{ plan_id, step_id: 'a' }],
	'steps.result': (plan_id) => [{ plan_id, step_id: 'a' }],
	'reviews.list': (plan_id) => [{ plan_id }],
	'reviews.answer': (plan_id) => [{ plan_id, review_id: 'a.1', decision: 'approve' }],
	'admin.verify': (plan_id) => [{ plan_id }],
}
const ELSEWHERE = {
	'plans.create': 1,
	'plans.list': 1,
	'events.publish': 1,
	'agents.list': 1,
	'clients.list': 1,
	'plans.changes': 1,
} as const

/** What a tenant is told of a plan, without what differs between any two answers. */
const OVER: readonly (readonly [string, (tenant: Tenant, name: ProcedureName, input: object) => Promise<string>])[] = [
	['REST and plain SSE', async (...asked) => masked((await rest(...asked)).text)],
	['tRPC over HTTP and SSE', async (...asked) => masked((await trpc(...asked)).text)],
	['tRPC over WebSocket', overSocket],
]

describe.each(OVER)('over %s', (_transport, told) => {
	it.each(Object.entries(OPERATIONS))('%s answers alike for a foreign and an unknown plan', async (name, inputs) => {
		for (const [index, unknown] of inputs(UNKNOWN).entries()) {
			const expected = (await told('bob', name as ProcedureName, unknown)).replaceAll(UNKNOWN, 'ID')
			for (const plan_id of [MANAGED, EXTERNAL]) {
				const foreign = await told('bob', name as ProcedureName, inputs(plan_id)[index] ?? {})
				expect(foreign.replaceAll(plan_id, 'ID')).toBe(expected)
			}
		}
	})

	it.each([{}, { status: ['completed'] }, { query: 'q' }, { limit: 1 }])(
		'the list %j of one tenant holds nothing of another',
		async (input) => {
			expect(await told('bob', 'plans.list', input)).toBe(await told('nobody', 'plans.list', input))
			expect(await told('alice', 'plans.list', input)).toMatch(new RegExp(`${MANAGED}|${EXTERNAL}`))
		},
	)
})

it('the plain WebSocket begins a foreign plan like an unknown one', async () => {
	const ids = [UNKNOWN, MANAGED, EXTERNAL]
	const addresses = ids.map((plan_id) => `bobs?plan_id=${plan_id}`)
	const firsts: string[] = []
	for (const [index, address] of addresses.entries()) {
		await using client = await connectPlainSocket(server.url, address, { headers: bearer(server.keys.bob) })
		firsts.push(JSON.stringify(await client.next()).replaceAll(ids[index] ?? '', 'ID'))
		for (const after of [cursor, 2, 'now']) {
			client.send({ action: 'subscribe', plan_id: ids[index], after })
			firsts.push(JSON.stringify(await client.next()).replaceAll(ids[index] ?? '', 'ID'))
		}
	}
	expect(firsts.slice(4, 8)).toEqual(firsts.slice(0, 4))
	expect(firsts.slice(8)).toEqual(firsts.slice(0, 4))
})

it('the lists of clients and the counts of subscribers end with the tenant', async () => {
	const clients = async (tenant: Tenant) => (await rest(tenant, 'clients.list', {})).body
	expect(await clients('alice')).toMatchObject({ client_count: 2, clients: expect.arrayContaining(['alices']) as string[] })
	expect(await clients('bob')).toMatchObject({
		client_count: 1,
		connections: [{ transport: 'trpc-websocket', subscribed_plans: [] }],
	})
	const count = async (tenant: Tenant) => (await rest(tenant, 'plans.subscribers', { plan_id: EXTERNAL })).body
	expect(await count('alice')).toEqual({ plan_id: EXTERNAL, subscriber_count: 1 })
	expect(await count('bob')).toEqual({ plan_id: EXTERNAL, subscriber_count: 0 })
})

it('headers reveal no more than bodies, and a file of a foreign plan is not found', async () => {
	for (const path of ['/api/v1/plans/ID', `/api/v1/plans/ID/artifacts/${'0'.repeat(64)}`]) {
		const [foreign, unknown] = await Promise.all(
			[MANAGED, UNKNOWN].map((plan_id) => sendRequest(server, path.replace('ID', plan_id), { headers: bearer(server.keys.bob) })),
		)
		const headersOf = ({ date: _date, 'x-request-id': _id, ...headers }: Record<string, unknown> = {}) => headers
		expect(foreign?.status).toBe(404)
		expect(headersOf(foreign?.headers)).toEqual(headersOf(unknown?.headers))
	}
})

it('a page token of one tenant does not open the list of another', async () => {
	const { body } = await rest('alice', 'plans.list', { limit: 1 })
	const { next_page: page } = body as { next_page: string }
	expect(page).not.toBeNull()
	const [bob, nobody] = [await rest('bob', 'plans.list', { page }), await rest('nobody', 'plans.list', { page })]
	expect([bob.status, bob.text]).toEqual([nobody.status, nobody.text])
	expect(bob.text).not.toMatch(new RegExp(`${MANAGED}|${EXTERNAL}`))
})

it('the same id in two tenants names two plans, created and published', async () => {
	const { body } = await rest('bob', 'plans.create', { ...spec(MANAGED), idempotency_key: 'k', query: 'another', start: false })
	expect(body as CommandOutput).toMatchObject({ plan_id: MANAGED, changed: true, status: 'pending' })
	const published = await rest('bob', 'events.publish', {
		plan_id: EXTERNAL,
		events: [{ ...started, data: { query: 'another', total_steps: 1 } }],
	})
	expect((published.body as PublishOutput).results).toEqual([{ event_id: 'e1', seq: 1, duplicate: false }])
	for (const [plan_id, alices] of [
		[MANAGED, 'completed'],
		[EXTERNAL, 'running'],
	] as const) {
		const states = [await rest('alice', 'plans.get', { plan_id }), await rest('bob', 'plans.get', { plan_id })]
		expect(states.map((state) => state.body)).toMatchObject([
			{ query: 'q', status: alices },
			{ query: 'another', status: plan_id === MANAGED ? 'pending' : 'running' },
		])
	}
	await rest('bob', 'plans.cancel', { plan_id: MANAGED })
	await rest('bob', 'plans.delete', { plan_id: MANAGED })
	expect((await rest('alice', 'plans.get', { plan_id: MANAGED })).status).toBe(200)
})

it('a reader that waits for a plan receives nothing of a foreign one with that id', async () => {
	await using waiting = await new TrpcSocketClient(server, '/trpc', { headers: bearer(server.keys.bob) }).open()
	waiting.subscribe(1, 'later')
	const next = async () => (await waiting.next()).result
	expect(await next()).toMatchObject({ type: 'started' })
	expect(await next()).toMatchObject({ data: { data: { frame: 'ready', plan_status: 'unknown' } } })
	await rest('alice', 'events.publish', { plan_id: 'later', events: [started, { event_type: 'plan_completed', data: {} }] })
	await rest('bob', 'events.publish', { plan_id: 'later', events: [{ event_type: 'plan_cancelled', data: {} }] })
	expect(await next()).toMatchObject({ data: { data: { frame: 'ready', head_seq: 1 } } })
	expect(await next()).toMatchObject({ data: { data: { event_type: 'plan_cancelled', seq: 1 } } })
})

interface Told {
	readonly status: number
	readonly text: string
	readonly body: unknown
}

function rest(tenant: Tenant, name: ProcedureName, input: object): Promise<Told> {
	const route: ProcedureSpec['rest'] = contract[name].rest
	const { url, body } = fillRoute(new URL(server.url), route, input)
	return asked(tenant, url, route.method, body)
}

function trpc(tenant: Tenant, name: ProcedureName, input: object): Promise<Told> {
	const url = `${server.url}/trpc/${name}`
	if (contract[name].kind === 'mutation') return asked(tenant, url, 'POST', JSON.stringify(input))
	return asked(tenant, `${url}?input=${encodeURIComponent(JSON.stringify(input))}`, 'GET', null)
}

/** One request; of a stream its beginning up to the first frame. */
async function asked(tenant: Tenant, url: string, method: string, body: string | null): Promise<Told> {
	const headers = { 'content-type': 'application/json', ...bearer(server.keys[tenant]) }
	const response = await fetch(url, { method, headers, body })
	let text = ''
	for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
		text += chunk
		if (/"frame":"\w+"[\s\S]*\n\n/.test(text)) break
	}
	const isJson = response.headers.get('content-type')?.includes('json') ?? false
	return { status: response.status, text: `${response.status} ${text}`, body: isJson ? JSON.parse(text) : null }
}

async function overSocket(tenant: Tenant, name: ProcedureName, input: object): Promise<string> {
	const wire = sockets[tenant]
	wire.socket.send(JSON.stringify({ id: 1, method: contract[name].kind, params: { path: name, input } }))
	const answer = await wire.next()
	if (answer.result?.type !== 'started') return JSON.stringify(answer)
	const first = await wire.next()
	wire.socket.send(JSON.stringify({ id: 1, method: 'subscription.stop' }))
	expect((await wire.next()).result?.type).toBe('stopped')
	return JSON.stringify(first)
}

/** Without the delay that each stream draws for itself. */
function masked(text: string): string {
	return text.replace(/^retry: \d+$/m, 'retry: N')
}
