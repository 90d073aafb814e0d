import { createHash } from 'node:crypto'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { EMPTY_FINGERPRINT } from '@planstream/shared'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { computeFingerprint } from '../../../server/src/log/append.js'
import { type RunningServer, startServer } from '../../../server/src/server.js'
import { CliProcess, createTemporaryDirectory, runPlanstream } from '../../support/cli-process.js'
import { post, sendRequest } from '../../support/http-request.js'

/** More than one piece of an archive, and characters of several bytes. */
const TEXT = 'é'.repeat(100_000)
const ID = createHash('sha256').update(TEXT).digest('hex')
const FILE = `/api/v1/plans/p/artifacts/${ID}`

const directory = createTemporaryDirectory()
let server: RunningServer
let signed: string[]
/** The archive as versions before signatures made it, whose lines may be changed. */
let lines: string[]

const open = (data: string) => startServer({ port: 0, store: { kind: 'sqlite', directory: data }, scripted: true })
const exported = async (from: RunningServer) =>
	(await sendRequest(from, '/api/v1/admin/plans/p/export')).text.split('\n').map((line) => `${line}\n`)
const imported = (into: RunningServer, archive: readonly string[]) =>
	post(into, '/api/v1/admin/import', Buffer.from(archive.join('')))

beforeAll(async () => {
	server = await open(directory.path)
	const input = { updates: [{ artifact: { name: 'a.txt', text: TEXT, media_type: 'text/plain' } }], result: {} }
	await post(server, '/api/v1/plans', {
		plan_id: 'p',
		query: 'q',
		steps: [{ step_id: 'one', action: 'write', agent_type: 'scripted', input }],
	})
	await sendRequest(server, '/api/v1/streaming/plans/p/events')
	signed = (await exported(server)).slice(0, -1)
	lines = signed.slice(0, -1).map((line) => line.replace('"planstream_archive":3', '"planstream_archive":2'))
})
afterAll(async () => {
	await server[Symbol.asyncDispose]()
	directory[Symbol.dispose]()
})

/** Asks a server of its own, and says which files it holds at the end. */
async function elsewhere<Result>(work: (other: RunningServer) => Promise<Result>): Promise<Result & { files: string[] }> {
	using data = createTemporaryDirectory()
	await using other = await open(data.path)
	const result = await work(other)
	const artifacts = path.join(data.path, 'artifacts')
	const files = existsSync(artifacts) ? readdirSync(artifacts, { recursive: true, encoding: 'utf8' }) : []
	return { ...result, files: files.map((file) => path.basename(file)).filter((name) => name.length >= 64) }
}

it('an export holds the files of a plan in pieces, and an import makes them downloadable', async () => {
	expect(signed[0]).toMatch(/^\{"planstream_archive":3,/)
	expect(JSON.parse(signed.at(-1) ?? '')).toMatchObject({ key: expect.stringMatching(/^ed25519:/), tenant: 'default' })
	expect(lines.filter((line) => line.startsWith('{"base64":')).length).toBeGreaterThan(2)
	for (const line of lines) expect(line.length).toBeLessThan(TEXT.length * 2)
	expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ end: true, files: 1 })
	const { status, text, files } = await elsewhere(async (other) => {
		expect(await imported(other, signed)).toMatchObject({ status: 201, body: { signed: false } })
		return sendRequest(other, FILE)
	})
	expect({ status, files }).toEqual({ status: 200, files: [ID] })
	expect(text === TEXT).toBe(true)
})

it('a plan keeps its files when its history is cleared from the terminal without a server', async () => {
	using data = createTemporaryDirectory()
	const from = await open(data.path)
	await imported(from, lines)
	await sendRequest(from, '/api/v1/streaming/plans/p/history', { method: 'DELETE' })
	await from[Symbol.asyncDispose]()
	const { stdout } = await runPlanstream(['export', '--data', data.path])
	const fresh = path.join(data.path, 'fresh')
	expect(await new CliProcess(['import', '--data', fresh]).input(stdout).end()).toMatchObject({ code: 0, stderr: '' })
	await using other = await open(fresh)
	expect((await sendRequest(other, FILE)).text === TEXT).toBe(true)
})

it.each<[string, (archive: string[]) => string[], RegExp]>([
	['a changed byte', (archive) => archive.map((line) => line.replace('{"base64":"w6', '{"base64":"x6')), /do not match its id/],
	[
		'a piece that is missing',
		(archive) => archive.filter((line, at) => !(line.startsWith('{"base64"') && archive[at + 1]?.includes('"end"'))),
		/do not match its id/,
	],
	[
		'a file that is missing',
		(archive) => archive.filter((line) => !/^\{"(file|base64)/.test(line)),
		/contains 0 files, but its last line counts 1/,
	],
	['a piece of no file', (archive) => archive.filter((line) => !line.startsWith('{"file"')), /not a line of an export/],
	[
		'an id that is a path',
		(archive) => archive.map((line) => line.replace(/"file":"[^"]+"/, '"file":"../../x"')),
		/file must be 64 hex digits/,
	],
	[
		'another form',
		(archive) => archive.map((line) => line.replace('"planstream_archive":2', '"planstream_archive":4')),
		/planstream_archive must be one of 1, 2, 3, but is 4/,
	],
])('an import with %s is refused and creates no plan', async (_what, change, sentence) => {
	const { refusal, plan, files } = await elsewhere(async (other) => {
		const { status, body } = await imported(other, change([...lines]))
		return { refusal: { status, body }, plan: (await sendRequest(other, '/api/v1/plans/p')).status }
	})
	expect(refusal).toMatchObject({ status: 400, body: { code: 'bad_request', detail: expect.stringMatching(sentence) } })
	expect({ plan, files }).toEqual({ plan: 404, files: [] })
})

/** The archive with another id for its file in the events, which agree with their fingerprints again, and without the file. */
function renamed(archive: readonly string[], id: string): string[] {
	let fingerprint = EMPTY_FINGERPRINT
	const kept = archive.filter((line) => !/^\{"(file|base64)/.test(line)).map((line) => line.replaceAll(ID, id))
	const chained = kept.map((line) => {
		const parsed = JSON.parse(line) as { event?: { event_id: string } }
		if (parsed.event === undefined) return line.replace('"files":1', '"files":0')
		fingerprint = computeFingerprint(fingerprint, parsed.event.event_id, JSON.stringify(parsed.event))
		return line.replace(/"fingerprint":"[^"]+"/, `"fingerprint":"${fingerprint}"`)
	})
	return chained.map((line, at) => (at === 0 ? line.replace(/"fingerprint":"[^"]+"/, `"fingerprint":"${fingerprint}"`) : line))
}

it('events with the path of another file in place of an id are refused', async () => {
	const id = `${'../'.repeat(32)}etc/hosts`
	const { refusal, files } = await elsewhere(async (other) => ({ refusal: await imported(other, renamed(lines, id)) }))
	expect(refusal).toMatchObject({ status: 400, body: { detail: expect.stringContaining('which the archive does not hold') } })
	expect(files).toEqual([])
})

it('an export is imported unchanged when it comes from a version without files', async () => {
	const before = lines
		.filter((line) => !/^\{"(file|base64)/.test(line))
		.map((line) => line.replace('"planstream_archive":2', '"planstream_archive":1').replace(',"files":1', ''))
	const { status } = await elsewhere((other) => imported(other, before))
	expect(status).toBe(201)
})

it('a file that is gone is named as lost', async () => {
	rmSync(path.join(directory.path, 'artifacts', 'default', ID.slice(0, 2), ID))
	const archive = (await exported(server)).slice(0, -1)
	expect(archive).toContain(`${JSON.stringify({ file: ID, lost: true })}\n`)
	expect(JSON.parse(archive.at(-2) ?? '')).toMatchObject({ end: true, files: 0 })
	const { status } = await elsewhere((other) => imported(other, archive))
	expect(status).toBe(201)
})
