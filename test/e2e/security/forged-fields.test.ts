import { readdirSync } from 'node:fs'
import path from 'node:path'
import { EMPTY_FINGERPRINT } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import { computeFingerprint } from '../../../server/src/log/append.js'
import { type RunningServer, startServer } from '../../../server/src/server.js'
import { createTemporaryDirectory } from '../../support/cli-process.js'
import { post, sendRequest } from '../../support/http-request.js'
import { removeSignature } from '../../support/plans/archives.js'
import { startTestServer } from '../../support/servers/test-server.js'

type Json = { [key: string]: unknown }

const MISSING = Symbol('missing')
const FORGERIES: readonly unknown[] = [MISSING, null, -1, 2 ** 52, 'other', {}, true]

/** Values of agents and clients, which may be any JSON. */
const FREE = /\.(input\.\w.*|data\.data\.\w.*|data\.result(\..*)?)$/
/** Objects whose fields all have defaults. */
const OBJECTS = /\.(input|labels|quality|retry|data|data\.data)$/
/** Numbers without a limit below 2^53: durations, and the place of a piece of output. */
const NUMBERS = /(_ms|\.index)$/
const FLAGS = /\.(jitter|implied|retryable)$|^end$/

/** Numbers, references and names of the format. */
const NO_TEXT =
	/(seq|owner|planstream_archive|plan_id|event_type|actor\.type|timestamp|attempts?|_ms|_steps|step_number|progress|bytes|artifact_id|spec\..*depends_on\.0|\.step_id|^file|^base64|^end|^events|^files|channel|status|on_failure|factor|max_lost|index)$/

/** Tells whether a schema may take a value for a field; nothing else may be taken. */
function mayTake(field: string, put: unknown): boolean {
	if (FREE.test(field)) return true
	if (put === MISSING || put === null) return true
	if (typeof put === 'number') return put > 0 && NUMBERS.test(field)
	if (typeof put === 'object') return OBJECTS.test(field)
	return typeof put === 'string' ? !NO_TEXT.test(field) : FLAGS.test(field)
}

function listPaths(value: unknown, above: readonly string[] = []): string[][] {
	if (typeof value !== 'object' || value === null) return []
	return Object.entries(value).flatMap(([key, item]) => [[...above, key], ...listPaths(item, [...above, key])])
}

function forge(value: unknown, [key = '', ...rest]: readonly string[], put: unknown): unknown {
	const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...(value as Json) }) as Json
	if (rest.length > 0) copy[key] = forge(copy[key], rest, put)
	else if (put !== MISSING) copy[key] = put
	else if (Array.isArray(copy)) copy.splice(Number(key), 1)
	else delete copy[key]
	return copy
}

/** Computes all fingerprints again, as a forger would. */
function write([head, ...rest]: readonly (Json | null)[]): string {
	let fingerprint = EMPTY_FINGERPRINT
	const chained = rest.map((line) => {
		const event = line?.event as Json | null | undefined
		if (typeof event !== 'object' || event === null) return line
		fingerprint = computeFingerprint(fingerprint, String(event.event_id), JSON.stringify(event))
		return { ...line, fingerprint }
	})
	return [{ ...head, fingerprint }, ...chained].map((line) => `${JSON.stringify(line)}\n`).join('')
}

/** Each field once: lines of one event type have the same fields, as have the steps of a graph. */
function listFields(lines: readonly Json[]): { readonly field: string; readonly place: readonly string[] }[] {
	const seen = new Map<string, readonly string[]>()
	for (const place of listPaths(lines)) {
		const [at = '', ...inside] = place
		const event = lines[Number(at)]?.event as Json | undefined
		const kind = event === undefined ? '' : `${String(event.event_type)}.`
		const field = inside.length === 0 ? `line ${at}` : `${kind}${inside.join('.')}`
		const isComputed = inside.at(-1) === 'fingerprint'
		const known = FREE.test(field) ? 'free' : field.replaceAll(/\.\d+/g, '.0')
		if (!isComputed && !seen.has(known)) seen.set(known, place)
	}
	return [...seen].map(([field, place]) => ({ field: field === 'free' ? '.input.free' : field, place }))
}

const steps = [
	{
		step_id: 'one',
		action: 'act',
		agent_type: 'scripted',
		input: { updates: [{ progress: 0.5 }, { artifact: { name: 'a.txt', text: 'content', media_type: 'text/plain' } }] },
	},
	{
		step_id: 'two',
		action: 'act',
		agent_type: 'scripted',
		depends_on: ['one'],
		input: { updates: [{ output: 'text' }], fail: { times: 9, code: 'x' } },
		retry: { max_attempts: 2, initial_ms: 1 },
		on_failure: 'continue',
	},
]

async function exportLines(server: RunningServer): Promise<Json[]> {
	await post(server, '/api/v1/plans', { plan_id: 'p', query: 'q', steps, labels: { a: 'b' } })
	await sendRequest(server, '/api/v1/streaming/plans/p/events')
	const { text } = await sendRequest(server, '/api/v1/admin/plans/p/export')
	await sendRequest(server, '/api/v1/plans/p', { method: 'DELETE' })
	const lines = removeSignature(text).trimEnd().split('\n')
	return lines.map((line) => JSON.parse(line) as Json)
}

/** Reads and removes a plan that was taken. */
async function removeTaken(server: RunningServer, plan_id: string): Promise<void> {
	expect((await sendRequest(server, `/api/v1/plans/${plan_id}`)).status).toBe(200)
	await post(server, `/api/v1/plans/${plan_id}/cancel`, {})
	await expect
		.poll(async () => (await sendRequest(server, `/api/v1/plans/${plan_id}`, { method: 'DELETE' })).status, { interval: 5 })
		.toBe(200)
}

async function readHealth(server: RunningServer): Promise<string[]> {
	const { text } = await sendRequest(server, '/metrics')
	return text.split('\n').filter((line) => /^planstream_health\{.*status="(degraded|down)"\} 1$/.test(line))
}

/** Imports the lines with each field forged in each way, and expects that nothing is left of any. */
async function forgeEach(server: RunningServer, lines: readonly Json[], fields: ReturnType<typeof listFields>): Promise<void> {
	for (const { field, place } of fields) {
		for (const put of FORGERIES) {
			const { status, body } = await post(server, '/api/v1/admin/import', write(forge(lines, place, put) as Json[]))
			const what = [field, put === MISSING ? 'missing' : put]
			if (status === 201) {
				expect([...what, mayTake(field, put)]).toEqual([...what, true])
				await removeTaken(server, (body as { readonly plan_id: string }).plan_id)
			} else {
				const problem = { code: 'bad_request', line: expect.any(Number) }
				expect([...what, status, body]).toEqual([...what, 400, expect.objectContaining(problem)])
			}
		}
	}
	expect((await sendRequest(server, '/api/v1/plans')).body).toEqual({ plans: [], next_page: null })
	expect(await readHealth(server)).toEqual([])
}

describe('An archive whose fingerprints were computed', { timeout: 60_000 }, () => {
	it('is refused by its line, or gives a plan that can be read and removed, whatever one of its fields is', async () => {
		await using server = await startTestServer({ scripted: true })
		const lines = await exportLines(server)
		expect(await post(server, '/api/v1/admin/import', write(lines))).toMatchObject({ status: 201 })
		await removeTaken(server, 'p')
		await forgeEach(server, lines, listFields(lines))
	})

	it('leaves nothing in a data directory, before a restart and after it', async () => {
		using data = createTemporaryDirectory()
		const open = () => startServer({ port: 0, store: { kind: 'sqlite', directory: data.path }, scripted: true })
		const server = await open()
		const lines = await exportLines(server)
		await forgeEach(
			server,
			lines,
			listFields(lines).filter((_field, index) => index % 15 === 0),
		)
		expect(readdirSync(path.join(data.path, 'imports'))).toEqual([])
		await server.close()
		await using again = await open()
		expect((await sendRequest(again, '/api/v1/plans')).body).toEqual({ plans: [], next_page: null })
		expect(await readHealth(again)).toEqual([])
	})
})
