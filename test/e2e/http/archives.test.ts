import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, request } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPlanstream } from '../../../server/src/embed/planstream.js'
import { type RunningServer, startServer } from '../../../server/src/server.js'
import { createTemporaryDirectory, runPlanstream, startServe } from '../../support/cli-process.js'
import { post, sendRequest } from '../../support/http-request.js'

const IMPORT = '/api/v1/admin/import'
const EXPORT = '/api/v1/admin/plans/p/export'
const TEXT = 'content '.repeat(40_000)

const from = createTemporaryDirectory()
let server: RunningServer
/** An archive with one file of several pieces. */
let archive: string
beforeAll(async () => {
	server = await startServer({ port: 0, store: { kind: 'sqlite', directory: from.path }, scripted: true })
	const input = { updates: [{ artifact: { name: 'a.txt', text: TEXT, media_type: 'text/plain' } }], result: {} }
	const steps = [{ step_id: 'one', action: 'act', agent_type: 'scripted', input }]
	await post(server, '/api/v1/plans', { plan_id: 'p', query: 'q', steps })
	await sendRequest(server, '/api/v1/streaming/plans/p/events')
	archive = (await sendRequest(server, EXPORT)).text
})
afterAll(async () => {
	await server[Symbol.asyncDispose]()
	from[Symbol.dispose]()
})

/** All files in a folder of the data directory. */
function listFiles(directory: string, folder: string): string[] {
	const root = path.join(directory, folder)
	if (!existsSync(root)) return []
	const entries = readdirSync(root, { recursive: true, withFileTypes: true })
	return entries.filter((entry) => entry.isFile()).map(({ name }) => name)
}

const openAt = (directory: string, limits = {}) =>
	startServer({ port: 0, store: { kind: 'sqlite', directory }, limits: { default: limits } })

/** Begins an import with the lines up to the second piece of its file. */
async function beginImport(on: { readonly url: string }): Promise<Socket> {
	const lines = archive.split('\n')
	const half = lines.slice(0, lines.findIndex((line) => line.startsWith('{"base64"')) + 2).join('\n')
	const socket = connect(Number(new URL(on.url).port), '127.0.0.1')
	socket.on('error', () => undefined)
	socket.write(`POST ${IMPORT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${Buffer.byteLength(archive)}\r\n\r\n${half}`)
	await once(socket, 'connect')
	return socket
}

const countStaged = (directory: string) => listFiles(directory, 'imports').length

describe('An export', () => {
	it('is compressed for a client that asks for gzip, and for no other', async () => {
		const [incoming] = (await once(
			request(server.url + EXPORT, { headers: { 'accept-encoding': 'gzip' } }).end(),
			'response',
		)) as [IncomingMessage]
		expect(incoming.headers).toMatchObject({ 'content-encoding': 'gzip', 'content-type': 'application/x-ndjson' })
		const chunks: Buffer[] = await incoming.toArray()
		expect(gunzipSync(Buffer.concat(chunks)).toString()).toBe(archive)
		expect((await sendRequest(server, EXPORT)).headers).not.toHaveProperty('content-encoding')
	})

	it('and an import reach a server that is mounted below a path, from the terminal', async () => {
		await using planstream = await createPlanstream({ store: { kind: 'memory' } })
		const listener = getRequestListener(new Hono().route('/below', planstream.app).fetch)
		const host = createServer((incoming, outgoing) => void listener(incoming, outgoing))
		host.listen(0, '127.0.0.1')
		await once(host, 'listening')
		const url = `http://127.0.0.1:${(host.address() as AddressInfo).port}/below/`
		writeFileSync(path.join(from.path, 'p.jsonl'), archive)
		const imported = await runPlanstream(['import', path.join(from.path, 'p.jsonl'), '--json', '--url', url])
		expect(imported).toMatchObject({ code: 0, json: [{ plan_id: 'p', signed: false }] })
		const exported = await runPlanstream(['export', 'p', '--url', url])
		expect(exported.stdout.split('\n').slice(0, -2)).toEqual(archive.split('\n').slice(0, -2))
		host.closeAllConnections()
		host.close()
	})
})

describe('The files of an import', () => {
	it('leave nothing behind when the connection is cut half way, and the plan can be imported again', async () => {
		using data = createTemporaryDirectory()
		await using other = await openAt(data.path)
		const socket = await beginImport(other)
		await expect.poll(() => countStaged(data.path)).toBe(1)
		socket.destroy()
		await expect.poll(() => readdirSync(path.join(data.path, 'imports'))).toEqual([])
		expect(listFiles(data.path, 'artifacts')).toEqual([])
		expect((await post(other, IMPORT, archive)).status).toBe(201)
		expect(listFiles(data.path, 'artifacts')).toHaveLength(1)
		expect(countStaged(data.path)).toBe(0)
	})

	it('leave nothing behind when the server is killed half way', async () => {
		using data = createTemporaryDirectory()
		const killed = await startServe(data.path)
		const socket = await beginImport(killed)
		await expect.poll(() => countStaged(data.path)).toBe(1)
		killed.child.kill('SIGKILL')
		await killed.end()
		socket.destroy()
		await using again = await openAt(data.path)
		expect([countStaged(data.path), listFiles(data.path, 'artifacts')]).toEqual([0, []])
		expect((await sendRequest(again, '/api/v1/plans')).body).toMatchObject({ plans: [] })
		expect((await post(again, IMPORT, archive)).status).toBe(201)
	})

	it('of a command that was killed are removed by the next command', async () => {
		using data = createTemporaryDirectory()
		await (await openAt(data.path)).close()
		mkdirSync(path.join(data.path, 'imports/x'), { recursive: true })
		writeFileSync(path.join(data.path, 'imports/x/y'), 'z')
		expect((await runPlanstream(['list', '--data', data.path])).code).toBe(0)
		expect(countStaged(data.path)).toBe(0)
	})

	it('leave nothing behind when the plan is there already', async () => {
		using data = createTemporaryDirectory()
		await using other = await openAt(data.path)
		await post(other, '/api/v1/streaming/plans/p/events', { events: [{ event_type: 'plan_completed', data: {} }] })
		expect(await post(other, IMPORT, archive)).toMatchObject({ status: 409, body: { code: 'conflict', line: 1 } })
		expect([countStaged(data.path), listFiles(data.path, 'artifacts')]).toEqual([0, []])
	})
})

describe('An import', () => {
	it('waits for no other of its tenant, but is refused with Retry-After', async () => {
		using data = createTemporaryDirectory()
		await using other = await openAt(data.path)
		const socket = await beginImport(other)
		await expect.poll(() => countStaged(data.path)).toBe(1)
		const refused = await post(other, IMPORT, archive)
		const body = { code: 'rate_limited', limit: 'imports', retry_after_ms: 1000 }
		expect(refused).toMatchObject({ status: 429, headers: { 'retry-after': '1' }, body })
		socket.destroy()
		await expect.poll(async () => (await post(other, IMPORT, archive)).status).toBe(201)
	})

	it.each(['[],', '{},'])('is refused before it is parsed when a line holds millions of values: %s', async (value) => {
		const body = Buffer.concat([Buffer.from('{"planstream_archive":['), Buffer.alloc(13_000_000, value), Buffer.from('1]}\n')])
		const refusal = { code: 'too_large', limit: 8_000_000, line: 1 }
		expect(await post(server, IMPORT, body)).toMatchObject({ status: 413, body: refusal })
	})

	it('is refused when a line behind the first is longer than any event or piece of a file', async () => {
		const lines = archive.split('\n')
		const body = lines.with(1, JSON.stringify({ base64: 'A'.repeat(4_200_000) })).join('\n')
		expect(await post(server, IMPORT, body.replaceAll('"plan_id":"p"', '"plan_id":"q"'))).toMatchObject({
			status: 413,
			body: { code: 'too_large', limit: 4_194_304, line: 2 },
		})
	})

	it('is refused when it is larger than import_bytes, with a length and without', async () => {
		using data = createTemporaryDirectory()
		await using other = await openAt(data.path, { import_bytes: 200_000 })
		const refusal = { status: 413, body: { code: 'too_large', limit: 200_000, line: expect.any(Number) } }
		expect(await post(other, IMPORT, archive)).toMatchObject(refusal)
		const pieces = archive.match(/[\s\S]{1,50000}/g)?.map((piece) => Buffer.from(piece))
		expect(await post(other, IMPORT, pieces)).toMatchObject(refusal)
		expect((await sendRequest(other, '/api/v1/plans')).body).toMatchObject({ plans: [] })
		expect([countStaged(data.path), listFiles(data.path, 'artifacts')]).toEqual([0, []])
	})
})
