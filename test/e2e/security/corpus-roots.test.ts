import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { expect, it } from 'vitest'
import { createTemporaryDirectory } from '../../support/cli-process.js'
import { sendRequest } from '../../support/http-request.js'
import { bearer, startKeyedServer } from '../../support/servers/keyed-server.js'

const STEP = { step_id: 'inventory', action: 'list', agent_type: 'corpus.inventory', retry: { max_attempts: 1 } }
const SCOPES = ['plans:read', 'plans:write'] as const

/** Lists a folder as this key's tenant, and gives the texts of the plan's events. */
async function listFolder(server: { readonly url: string }, key: string, corpus: string): Promise<string> {
	const headers = bearer(key)
	const body = { query: 'q', input: { corpus }, steps: [STEP] }
	const made = await sendRequest(server, '/api/v1/plans', { method: 'POST', headers, body })
	const { plan_id } = made.body as { readonly plan_id: string }
	return (await sendRequest(server, `/api/v1/streaming/plans/${plan_id}/events`, { headers })).text
}

it('reads only the folders of its own tenant, and answers alike for a foreign folder and none', async () => {
	using directory = createTemporaryDirectory()
	const [shared, own] = ['shared', 'own'].map((name) => path.join(directory.path, name)) as [string, string]
	for (const folder of [shared, own]) {
		await mkdir(folder)
		await writeFile(path.join(folder, 'passwords.txt'), 'correct-horse-battery-staple')
	}
	const grants = { owner: { tenant: 'acme', scopes: [...SCOPES] }, stranger: { tenant: 'other', scopes: [...SCOPES] } }
	const limits = { tenants: { acme: { corpus_roots: [own] } } }
	await using server = await startKeyedServer(grants, { corpusRoots: [shared], limits })
	expect(await listFolder(server, server.keys.owner, own)).toContain('passwords.txt')
	expect(await listFolder(server, server.keys.stranger, shared)).toContain('passwords.txt')
	const refused = [own, '/root', path.join(directory.path, 'nowhere'), '/etc/passwd', `${shared}/../own`]
	for (const folder of refused) {
		const text = await listFolder(server, server.keys.stranger, folder)
		expect(text).not.toContain('passwords.txt')
		expect(text).toContain(`"code":"invalid_input","message":"The corpus folder ${folder} cannot be read.`)
	}
	expect(await listFolder(server, server.keys.owner, shared)).toContain('invalid_input')
})

it('reads no folder when the server has keys and names none', async () => {
	await using server = await startKeyedServer({ user: { tenant: 'acme', scopes: [...SCOPES] } })
	expect(await listFolder(server, server.keys.user, path.resolve('docs'))).toContain('invalid_input')
	expect(await listFolder(server, server.keys.user, 'builtin')).toContain('invalid_input')
})

it.each([
	['keys and no root', {}, false],
	['keys and a root', { corpusRoots: ['builtin'] }, true],
	['keys and a root of one tenant in the limits', { limits: { tenants: { acme: { corpus_roots: ['builtin'] } } } }, true],
	['a root, and was told to offer no corpus research', { corpusRoots: ['builtin'], corpusAgents: false }, false],
])('offers corpus research: a server with %s', async (_what, options, isOffered) => {
	const grants = { user: { tenant: 'acme', scopes: [...SCOPES] } }
	await using server = await startKeyedServer(grants, { corpus: undefined, ...options })
	const headers = bearer(server.keys.user)
	const { text } = await sendRequest(server, '/api/v1/agents', { headers })
	expect(text.includes('corpus.inventory')).toBe(isOffered)
	const body = { query: 'q', input: { corpus: 'builtin' }, steps: [STEP] }
	const { status, text: refusal } = await sendRequest(server, '/api/v1/plans', { method: 'POST', headers, body })
	expect([status, refusal.includes('There is no agent corpus.inventory')]).toEqual(isOffered ? [201, false] : [400, true])
})
