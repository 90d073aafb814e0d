import { contract, type ProcedureName, SCOPES, type Scope } from '@planstream/shared/schemas'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ROUTES } from '../../../server/src/api/rest.js'
import { createKeyAuthenticator } from '../../../server/src/auth/authenticator.js'
import { type RequestOptions, sendRequest } from '../../support/http-request.js'
import { bearer } from '../../support/servers/keyed-server.js'
import { StreamServer } from '../../support/servers/stream-server.js'
import { TrpcSocketClient } from '../../support/streams/socket-client.js'

/** The key that has this scope and no other. */
const keyFor = (scope: Scope) => bearer(scope.replace(':', '.'))

const authority = createKeyAuthenticator({
	holders: [
		(token) => ({
			tenant: 't',
			actor: { type: 'api_key', id: 'x' },
			scopes: new Set(SCOPES.filter((scope) => keyFor(scope).authorization === `Bearer ${token}`)),
		}),
	],
	origins: [],
})

let server: StreamServer
beforeAll(async () => {
	server = await StreamServer.start({ authority })
})
afterAll(async () => {
	expect(server.problems).toEqual([])
	await server[Symbol.asyncDispose]()
})

/** The code of a refusal, wherever the answer has it. */
const codeIn = (text: string): string | undefined => /"code":"([a-z_]+)"/.exec(text)?.[1]

/** The scopes whose keys are not refused. */
async function scopesFor(path: string, question: RequestOptions): Promise<Scope[]> {
	const allowed: Scope[] = []
	for (const scope of SCOPES) {
		const { text } = await sendRequest(server, path, { ...question, headers: { ...question.headers, ...keyFor(scope) } })
		if (codeIn(text) !== 'forbidden') allowed.push(scope)
		else expect(text).toMatch(/"scope":"[a-z:]+"/)
	}
	return allowed
}

async function expectKeyed(path: string, question: RequestOptions): Promise<void> {
	const { status, text } = await sendRequest(server, path, question)
	expect([path, status, codeIn(text)]).toEqual([path, 401, 'unauthorized'])
}

/** Every address that does something, as it is asked for; a query that nobody takes keeps a stream from beginning. */
function addresses(): { readonly method: string; readonly pattern: string; readonly path: string }[] {
	return server.routes
		.filter(({ method, path }) => method !== 'ALL' && method !== 'OPTIONS' && !path.includes('*'))
		.map(({ method, path }) => ({ method, pattern: path, path: `${path.replaceAll(/:\w+(\{[^}]*\})?/g, 'x1')}?nobody=1` }))
}

it('every route except health and descriptions needs a key and one scope, which is that of the contract', async () => {
	const open: string[] = []
	const walked = new Set<string>()
	const declared = new Map(
		ROUTES.map(([, { rest, scope }]) => [`${rest.method} ${rest.path.replaceAll(/\{\w+\}/g, 'x1')}?nobody=1`, scope]),
	)
	for (const { method, path } of addresses()) {
		if ((await sendRequest(server, path, { method })).status === 200) {
			open.push(`${method} ${path}`)
			continue
		}
		await expectKeyed(path, { method })
		const scopes = await scopesFor(path, { method })
		expect([method, path, scopes]).toEqual([method, path, [declared.get(`${method} ${path}`) ?? expect.any(String)]])
		walked.add(`${method} ${path}`)
	}
	expect(open).toEqual(
		['/health/live', '/health/ready', '/openapi.json', '/asyncapi.json', '/docs'].map((path) => `GET ${path}?nobody=1`),
	)
	expect([...declared.keys()].filter((address) => !walked.has(address))).toEqual([])
})

it('an unknown route and a wrong method need a key, too', async () => {
	for (const [method, path] of [
		['GET', '/nowhere'],
		['PUT', '/api/v1/plans'],
		['GET', '/trpc/plans.steal'],
		['POST', '/trpc/'],
	] as const) {
		await expectKeyed(path, { method })
	}
})

describe('each procedure', () => {
	const names = Object.keys(contract) as ProcedureName[]

	it.each(names)('%s needs a key and its one scope over HTTP', async (name) => {
		const mutation = contract[name].kind === 'mutation'
		const path = mutation ? `/trpc/${name}` : `/trpc/${name}?input=${encodeURIComponent('{"nobody":1}')}`
		const question = mutation ? { method: 'POST', headers: { 'content-type': 'application/json' }, body: { nobody: 1 } } : {}
		await expectKeyed(path, question)
		await expectKeyed(`/trpc/agents.list,${name}?batch=1`, question)
		expect(await scopesFor(path, question)).toEqual([contract[name].scope])
	})

	it('needs a key and its one scope over WebSocket', async () => {
		const found = new Map<string, Scope[]>(names.map((name) => [name, []]))
		for (const scope of SCOPES) {
			await using wire = await new TrpcSocketClient(server, '/trpc', { headers: keyFor(scope) }).open()
			for (const [id, name] of names.entries()) {
				wire.socket.send(JSON.stringify({ id, method: contract[name].kind, params: { path: name, input: { nobody: 1 } } }))
				const answer = await wire.next()
				expect(answer.id).toBe(id)
				if (answer.error?.data.problem.code !== 'forbidden') found.get(name)?.push(scope)
			}
		}
		expect(Object.fromEntries(found)).toEqual(Object.fromEntries(names.map((name) => [name, [contract[name].scope]])))
	})
})
