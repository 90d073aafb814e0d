import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { PlanState } from '@planstream/shared'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ArchiveDigest, ArchiveKey } from '../../../server/src/hub/archive-signature.js'
import { createLogger } from '../../../server/src/ops/logger.js'
import { type RunningServer, startServer } from '../../../server/src/server.js'
import { createTemporaryDirectory } from '../../support/cli-process.js'
import { post, sendRequest } from '../../support/http-request.js'
import { removeSignature } from '../../support/plans/archives.js'
import { bearer, type KeyedServer, startKeyedServer } from '../../support/servers/keyed-server.js'
import { startTestServer } from '../../support/servers/test-server.js'

const ALL = ['plans:read', 'plans:write', 'events:publish', 'admin']
const GRANTS = {
	acme: { tenant: 'acme', scopes: ALL },
	bolt: { tenant: 'bolt', scopes: ALL },
	operator: { tenant: 'acme', scopes: [...ALL, 'operator'] },
}
type Keyed = KeyedServer<keyof typeof GRANTS>

let server: Keyed
let archive: string
beforeAll(async () => {
	server = await startKeyedServer(GRANTS, { scripted: true })
	await runPlan(server, 'p')
	archive = await exportPlan(server, 'p')
	await remove(server, 'p')
})
afterAll(() => server[Symbol.asyncDispose]())

async function runPlan(on: Keyed, plan_id: string): Promise<void> {
	const headers = bearer(on.keys.acme)
	const input = { updates: [{ artifact: { name: 'a.txt', text: 'content', media_type: 'text/plain' } }], result: {} }
	const steps = [{ step_id: 'one', action: 'act', agent_type: 'scripted', input }]
	await sendRequest(on, '/api/v1/plans', { method: 'POST', headers, body: { plan_id, query: 'q', steps } })
	await sendRequest(on, `/api/v1/streaming/plans/${plan_id}/events`, { headers })
}

const exportPlan = async (on: Keyed, plan_id: string, key: keyof typeof GRANTS = 'acme') =>
	(await sendRequest(on, `/api/v1/admin/plans/${plan_id}/export`, { headers: bearer(on.keys[key]) })).text
const importPlan = (on: Keyed, text: string | Buffer, key: keyof typeof GRANTS = 'acme') =>
	sendRequest(on, '/api/v1/admin/import', { method: 'POST', headers: bearer(on.keys[key]), body: text })
const remove = (on: Keyed, plan_id: string, key: keyof typeof GRANTS = 'acme') =>
	sendRequest(on, `/api/v1/plans/${plan_id}`, { method: 'DELETE', headers: bearer(on.keys[key]) })
const readState = (on: Keyed, plan_id: string, key: keyof typeof GRANTS = 'acme') =>
	sendRequest(on, `/api/v1/plans/${plan_id}`, { headers: bearer(on.keys[key]) })

/** Signs the lines of an archive anew, with any key. */
function signAgain(text: string, key: ArchiveKey, tenant = 'acme'): string {
	const lines = text.trimEnd().split('\n').slice(0, -1)
	const digest = new ArchiveDigest()
	for (const line of lines) digest.add(`${line}\n`)
	return [...lines, JSON.stringify(key.sign(digest, tenant)), ''].join('\n')
}

describe('An import on a server with keys', () => {
	it('takes what the server itself has exported, and says in the state who imported it', async () => {
		const imported = await importPlan(server, archive)
		expect(imported).toMatchObject({ status: 201, body: { plan_id: 'p', signed: true } })
		const state = (await readState(server, 'p')).body as PlanState
		const imported_by = { type: 'api_key', id: 'acme' }
		expect(state.origin).toEqual({ imported_by, imported_at: expect.stringMatching(/^\d{4}-.*Z$/), signed: true })
		const list = await sendRequest(server, '/api/v1/plans', { headers: bearer(server.keys.acme) })
		expect(list.body).toMatchObject({ plans: [{ plan_id: 'p', origin: state.origin }] })
		expect(await exportPlan(server, 'p')).toBe(archive)
		const verified = await sendRequest(server, '/api/v1/admin/plans/p/verify', { headers: bearer(server.keys.acme) })
		expect(verified.body).toMatchObject({ ok: true })
		await remove(server, 'p')
	})

	it('keeps saying so after its events were cleared, and tells of the newest import only', async () => {
		await importPlan(server, archive)
		const headers = bearer(server.keys.acme)
		await sendRequest(server, '/api/v1/streaming/plans/p/history', { method: 'DELETE', headers })
		const cleared = await exportPlan(server, 'p')
		expect(((await readState(server, 'p')).body as PlanState).origin?.imported_by.id).toBe('acme')
		await remove(server, 'p')
		await importPlan(server, cleared, 'operator')
		expect(((await readState(server, 'p')).body as PlanState).origin?.imported_by.id).toBe('operator')
		await remove(server, 'p')
	})

	it('refuses an archive of which one character has changed, whichever line has it', async () => {
		const lines = archive.trimEnd().split('\n')
		for (const [at, line] of lines.entries()) {
			for (const share of [0.35, 0.6, 0.95]) {
				const place = Math.floor(line.length * share)
				const other = line[place] === '0' ? '1' : '0'
				const changed = lines.with(at, line.slice(0, place) + other + line.slice(place + 1))
				const { status, body } = await importPlan(server, `${changed.join('\n')}\n`)
				expect([at, status, body]).toEqual([at, 400, expect.objectContaining({ code: 'bad_request', line: expect.any(Number) })])
			}
		}
		expect((await readState(server, 'p')).status).toBe(404)
	})

	it('refuses an archive that lacks its last lines', async () => {
		const lines = archive.trimEnd().split('\n')
		for (const kept of [lines.slice(0, -1), lines.slice(0, -2)]) {
			expect(await importPlan(server, `${kept.join('\n')}\n`)).toMatchObject({ status: 400, body: { line: kept.length } })
		}
	})

	it('refuses lines behind the signature', async () => {
		const lines = archive.trimEnd().split('\n')
		const refused = await importPlan(server, `${archive}${lines.at(-1)}\n`)
		expect(refused).toMatchObject({ status: 400, body: { line: lines.length + 1 } })
	})

	it('refuses a signature that was made with another key than it names', async () => {
		const { key } = JSON.parse(archive.trimEnd().split('\n').at(-1) ?? '') as { readonly key: string }
		const forged = signAgain(archive, ArchiveKey.make()).replace(/"key":"[^"]+"/, () => `"key":"${key}"`)
		expect(await importPlan(server, forged)).toMatchObject({ status: 400, body: { reason: 'unsigned' } })
	})

	it('refuses an archive without a signature unless the key has the scope operator', async () => {
		const unsigned = removeSignature(archive)
		const forbidden = { code: 'forbidden', scope: 'operator', reason: 'unsigned', line: 1 }
		expect(await importPlan(server, unsigned)).toMatchObject({ status: 403, body: forbidden })
		expect(await importPlan(server, unsigned, 'operator')).toMatchObject({ status: 201, body: { signed: false } })
		expect(((await readState(server, 'p')).body as PlanState).origin).toMatchObject({ signed: false })
		await remove(server, 'p')
	})

	it('refuses an archive that another tenant has exported unless the key has the scope operator', async () => {
		const refused = await importPlan(server, archive, 'bolt')
		expect(refused).toMatchObject({ status: 403, body: { scope: 'operator', line: archive.trimEnd().split('\n').length } })
		expect((await readState(server, 'p', 'bolt')).status).toBe(404)
	})

	it('takes archives of another server once its key is trusted', async () => {
		const key = ArchiveKey.make()
		const foreign = signAgain(archive, key)
		expect(await importPlan(server, foreign)).toMatchObject({ status: 403, body: { scope: 'operator' } })
		await using trusting = await startKeyedServer(GRANTS, { archiveTrust: [ArchiveKey.make().id, key.id] })
		expect(await importPlan(trusting, foreign)).toMatchObject({ status: 201, body: { signed: true } })
		expect(await importPlan(trusting, foreign)).toMatchObject({ status: 409, body: { code: 'conflict', line: 1 } })
	})

	it('refuses a trusted key of another form at the start', async () => {
		await expect(startTestServer({ archiveTrust: ['ed25519:short'] })).rejects.toMatchObject({ code: 'bad_request' })
	})
})

it('a server without keys takes archives of any key and none, and says so', async () => {
	await using alone = await startTestServer({ scripted: true })
	for (const text of [archive, removeSignature(archive), signAgain(archive, ArchiveKey.make())]) {
		expect(await post(alone, '/api/v1/admin/import', text)).toMatchObject({ status: 201, body: { signed: false } })
		await sendRequest(alone, '/api/v1/plans/p', { method: 'DELETE' })
	}
})

describe('The key of exports', () => {
	const open = (directory: string) =>
		startServer({ port: 0, store: { kind: 'sqlite', directory }, logger: createLogger('silent') })
	const readKey = async (on: RunningServer) => {
		const { status, text } = await sendRequest(on, '/api/v1/admin/plans/p/export')
		return { status, key: status === 200 ? (JSON.parse(text.trimEnd().split('\n').at(-1) ?? '') as { key: string }).key : text }
	}

	it('is made at the first export for its user alone, and stays the same after a restart', async () => {
		using data = createTemporaryDirectory()
		const file = path.join(data.path, 'archive.key')
		const first = await open(data.path)
		await post(first, '/api/v1/admin/import', removeSignature(archive))
		expect(readdirSync(data.path)).not.toContain('archive.key')
		const [one, two] = await Promise.all([readKey(first), readKey(first)])
		expect(one).toEqual(two)
		expect(statSync(file).mode & 0o777).toBe(0o600)
		expect(readdirSync(data.path).filter((name) => name.startsWith('archive.key'))).toEqual(['archive.key'])
		await first.close()
		await using second = await open(data.path)
		expect(await readKey(second)).toEqual(one)
		expect(readFileSync(file, 'utf8')).toContain('PRIVATE KEY')
	})

	it.each<[string, (file: string) => void]>([
		['others can read it', (file) => writeFileSync(file, ArchiveKey.make().toPem(), { mode: 0o644 })],
		['it is no key', (file) => writeFileSync(file, 'x', { mode: 0o600 })],
		['it is a folder', (file) => mkdirSync(file, { mode: 0o700 })],
		['it is a link', (file) => symlinkSync('/dev/null', file)],
	])('ends exports with storage_unavailable and no path when %s, and works again once it is gone', async (_what, spoil) => {
		using data = createTemporaryDirectory()
		const file = path.join(data.path, 'archive.key')
		await using on = await open(data.path)
		await post(on, '/api/v1/admin/import', removeSignature(archive))
		spoil(file)
		const { status, key } = await readKey(on)
		expect([status, key]).toEqual([503, expect.stringContaining('storage_unavailable')])
		expect(key).not.toContain(data.path)
		rmSync(file, { recursive: true })
		expect((await readKey(on)).status).toBe(200)
	})
})
