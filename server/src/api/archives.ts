import { Readable } from 'node:stream'
import { type ImportOutput, type PlanEvent, PlanstreamError } from '@planstream/shared'
import {
	type ArchiveHead,
	archiveEnd,
	archiveFile,
	archiveHead,
	archivePiece,
	archiveRecord,
	archiveRoutes,
} from '@planstream/shared/schemas'
import { Hono, type Context as HonoContext } from 'hono'
import type * as z from 'zod'
import type { Archive, ArchivedRecord } from '../hub/archive.js'
import type { Hub } from '../hub/hub.js'
import type { Principal } from '../hub/principal.js'
import { describeIssue } from '../ops/issues.js'
import { MAX_JSON_DEPTH } from '../ops/json.js'
import type { Artifacts, TenantArtifacts } from '../plans/artifacts.js'
import { checkJson } from './input.js'
import { assertScope, type Context } from './procedure.js'
import { type GetBody, toHonoPath } from './rest.js'

/**
 * Limit of one line of an archive. The first line is the largest: it holds the snapshot that replaces trimmed events. See
 * PROTOCOL.md section 7.
 */
const MAX_LINE_BYTES = 128 * 1024 * 1024
/** An event holds values of clients and agents at most 8 levels further down than they were sent: in `event.data.spec.steps[0].input`. */
const MAX_LINE_DEPTH = MAX_JSON_DEPTH + 8

/**
 * Reads an archive as it arrives, line by line.
 *
 * @param files - stores each file of the archive as soon as it was read
 * @throws PlanstreamError `bad_request` with the number of the bad `line`, `too_large`
 */
export async function readArchive(bytes: AsyncIterable<Uint8Array>, files: Pick<TenantArtifacts, 'take'>): Promise<Archive> {
	const lines = readLines(bytes)
	const first = await lines.next()
	if (first.done === true) throw new PlanstreamError('bad_request', 'The archive is empty. Send the lines of an export.')
	return { head: parseFields<ArchiveHead>(archiveHead, first.value), records: readRecords(lines, files) }
}

async function* readRecords(
	lines: AsyncGenerator<Line>,
	artifacts: Pick<TenantArtifacts, 'take'>,
): AsyncGenerator<ArchivedRecord, void, void> {
	let events = 0
	let files = 0
	let next = await lines.next()
	async function* content(): AsyncGenerator<Uint8Array, void, void> {
		for (next = await lines.next(); next.done !== true && hasField(next.value, 'base64'); next = await lines.next())
			yield Buffer.from(parseFields(archivePiece, next.value).base64, 'base64')
	}
	while (next.done !== true) {
		const line: Line = next.value
		if (hasField(line, 'end')) {
			await assertEnd(parseFields(archiveEnd, line), { events, files }, lines)
			return
		}
		if (hasField(line, 'file')) {
			await artifacts.take(parseFields(archiveFile, line).file, content())
			files += 1
			continue
		}
		const { seq, fingerprint, sent_digest } = parseFields(archiveRecord, line)
		const { event } = line.value as { readonly event: Omit<PlanEvent, 'seq' | 'cursor'> }
		events += 1
		yield { seq, fingerprint, sent_digest, event, text: JSON.stringify(event) }
		next = await lines.next()
	}
	throw new PlanstreamError(
		'bad_request',
		`The archive ends after ${events} events without its last line. Export the plan again.`,
	)
}

function hasField({ value }: Line, field: string): boolean {
	return typeof value === 'object' && value !== null && field in value
}

async function assertEnd(
	end: z.output<typeof archiveEnd>,
	held: { readonly events: number; readonly files: number },
	lines: AsyncGenerator<Line>,
): Promise<void> {
	for (const kind of ['events', 'files'] as const) {
		if (end[kind] === held[kind]) continue
		const message = `The archive contains ${held[kind]} ${kind}, but its last line counts ${end[kind]}. Export the plan again.`
		throw new PlanstreamError('bad_request', message)
	}
	const more = await lines.next()
	if (more.done === true) return
	throw new PlanstreamError(
		'bad_request',
		`Line ${more.value.number} comes after the end of the archive. Import one plan at a time.`,
		{
			line: more.value.number,
		},
	)
}

interface Line {
	readonly number: number
	readonly value: unknown
}

async function* readLines(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Line, void, void> {
	let number = 0
	for await (const text of splitLines(bytes)) {
		number += 1
		if (text.length > 0) yield { number, value: parseLine(text, number) }
	}
}

async function* splitLines(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, void> {
	let waiting: Uint8Array[] = []
	let size = 0
	for await (const chunk of bytes) {
		let from = 0
		for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
			yield Buffer.concat([...waiting, chunk.subarray(from, end)])
			waiting = []
			size = 0
			from = end + 1
		}
		waiting.push(chunk.subarray(from))
		size += chunk.length - from
		if (size > MAX_LINE_BYTES) {
			throw new PlanstreamError(
				'too_large',
				`A line of the archive is longer than ${MAX_LINE_BYTES} bytes. Send the lines of an export unchanged.`,
				{
					limit: MAX_LINE_BYTES,
				},
			)
		}
	}
	if (size > 0) yield Buffer.concat(waiting)
}

const NEWLINE = 10
const decoder = new TextDecoder('utf-8', { fatal: true })

function parseLine(bytes: Buffer, line: number): unknown {
	try {
		const value: unknown = JSON.parse(decoder.decode(bytes))
		checkJson(value, { depth: MAX_LINE_DEPTH })
		return value
	} catch (cause) {
		const why = cause instanceof Error ? cause.message.slice(0, 200) : ''
		throw new PlanstreamError('bad_request', `Line ${line} of the archive cannot be read: ${why}`, { line }, { cause })
	}
}

function parseFields<Value>(schema: z.ZodType<Value>, { number, value }: Line): Value {
	const parsed = schema.safeParse(value)
	if (parsed.success) return parsed.data
	const [issue] = parsed.error.issues
	const what = issue === undefined ? '' : describeIssue(issue, value)
	throw new PlanstreamError('bad_request', `Line ${number} of the archive is not a line of an export: ${what}`, { line: number })
}

export interface ArchivesOptions {
	readonly hub: Hub
	readonly artifacts: Artifacts
	/** Creates the plan from the archive and continues it. */
	readonly restore: (principal: Principal, archive: Archive) => Promise<ImportOutput>
	readonly getContext: (context: HonoContext) => Context
	readonly getBody: GetBody
}

/** Exports and imports plans as lines of JSON. */
export function archives({ hub, artifacts, restore, getContext, getBody }: ArchivesOptions): Hono {
	const app = new Hono({ strict: false })
	app.get(toHonoPath(archiveRoutes.export.rest.path), async (context) => {
		const { principal } = getContext(context)
		assertScope(principal, archiveRoutes.export.scope, 'An export')
		const lines = hub.archive(
			principal,
			context.req.param('plan_id') ?? '',
			async (artifact_id) => (await artifacts.of(principal.tenant).open(artifact_id))?.content ?? null,
		)
		const first = await lines.next()
		const headers = { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' }
		if (context.req.method === 'HEAD') return context.body(null, 200, headers)
		const body = Readable.from(prependFirst(first, lines))
		return context.body(Readable.toWeb(body) as ReadableStream, 200, headers)
	})
	app.post(toHonoPath(archiveRoutes.import.rest.path), async (context) => {
		const { principal } = getContext(context)
		assertScope(principal, archiveRoutes.import.scope, 'An import')
		const archive = await readArchive(getBody(context).readChunks(), artifacts.of(principal.tenant))
		return context.json(await restore(principal, archive), archiveRoutes.import.rest.status, { 'cache-control': 'no-store' })
	})
	return app
}

/** Puts back the first item, which was awaited so that a failure could still become an error response. */
async function* prependFirst(
	first: IteratorResult<string, void>,
	rest: AsyncGenerator<string, void, void>,
): AsyncGenerator<Buffer> {
	if (first.done !== true) yield Buffer.from(first.value)
	for await (const line of rest) yield Buffer.from(line)
}
