import { type PlanEvent, PlanstreamError } from '@planstream/shared'
import {
	ARCHIVE_VERSION,
	type ArchiveHead,
	archiveEnd,
	archiveFile,
	archiveHead,
	archivePiece,
	archiveRecord,
	archiveSignature,
	artifact,
	json,
	MAX_ARTIFACTS,
} from '@planstream/shared/schemas'
import * as z from 'zod'
import type { Archive, ArchivedRecord } from '../hub/archive.js'
import { ArchiveDigest, type ArchiveSignature, assertSigned } from '../hub/archive-signature.js'
import type { PlanFold } from '../hub/plan-fold.js'
import { describeIssue, findFirstIssue } from '../ops/issues.js'
import { MAX_JSON_DEPTH } from '../ops/json.js'
import { assertGraph } from '../plans/rules/graph.js'
import type { StagedFiles } from '../plans/staged-files.js'
import { checkJson } from './input.js'

/**
 * Limit of one line of an archive. The first line is the largest: it holds the snapshot that replaces trimmed events. See
 * PROTOCOL.md section 7.
 */
const MAX_LINE_BYTES = 128 * 1024 * 1024
/**
 * Parts of the limit of a state that the first line may have without the scope `operator`: four times its bytes, because the state is a text in
 * it, and a value for each four of its bytes. A long line keeps the server busy before anything shows that nobody trusts it.
 */
const LINE_PER_STATE = 4
/** Limit of a line behind the first: an event, a piece of a file. */
const MAX_LATER_LINE_BYTES = 4 * 1024 * 1024
/** Values in one line: short ones take ten times their bytes in memory, and are in memory before any schema has seen them. */
const MAX_LINE_VALUES = 8_000_000
/** Limit of one event as stored, whatever its type; no append of this server makes a larger one. */
const MAX_EVENT_BYTES = 1024 * 1024
/** An event holds values of clients and agents at most 8 levels further down than they were sent: in `event.data.spec.steps[0].input`. */
const MAX_LINE_DEPTH = MAX_JSON_DEPTH + 8

/** The terms on which an archive is taken. */
export interface ImportTerms {
	/** Tenant that gets the plan. */
	readonly tenant: string
	/** Keeps the files until the archive is complete. */
	readonly files: Pick<StagedFiles, 'take' | 'bytes' | 'move'>
	/** Tells whether a public key may vouch for an archive. */
	readonly trust: (key: string) => Promise<boolean>
	/** Whether to take archives that no trusted key has signed for this tenant. */
	readonly allowUnsigned: boolean
	/** Maximum bytes of the archive. @defaultValue no limit */
	readonly maxBytes?: number
	/** Maximum bytes of the state of a plan, from which the size of the first line follows. @defaultValue no limit */
	readonly stateBytes?: number
}

/**
 * Reads an archive as it arrives, line by line.
 *
 * @throws PlanstreamError `bad_request` with the number of the bad `line`, `too_large`, and `forbidden` for an archive whose version has no
 * signature where one is needed
 */
export async function readArchive(bytes: AsyncIterable<Uint8Array>, terms: ImportTerms): Promise<Archive> {
	const reader = new ArchiveReader(bytes, terms)
	const head = await reader.readHead()
	return { head, records: reader.readRecords(), admit: (fold) => reader.admit(fold) }
}

class ArchiveReader {
	readonly #terms: ImportTerms
	readonly #lines: LineReader
	#version: ArchiveHead['planstream_archive'] = ARCHIVE_VERSION
	#signature: ArchiveSignature | null = null
	/** Files that the exporting server had lost. */
	readonly #lost = new Set<string>()

	constructor(bytes: AsyncIterable<Uint8Array>, terms: ImportTerms) {
		this.#terms = terms
		this.#lines = new LineReader(bytes, getLineLimits(terms))
	}

	async readHead(): Promise<ArchiveHead> {
		const first = await this.#lines.next()
		if (first === null) {
			throw new PlanstreamError('bad_request', 'The archive is empty. Send the lines of an export.', { line: 1 })
		}
		const head = parseFields<ArchiveHead>(archiveHead, first)
		this.#version = head.planstream_archive
		if (this.#version < ARCHIVE_VERSION && !this.#terms.allowUnsigned) {
			throw refuseUnsigned(`It has version ${this.#version}, which has no signature`, first.number)
		}
		return head
	}

	async *readRecords(): AsyncGenerator<ArchivedRecord, void, void> {
		let events = 0
		let files = 0
		let next = await this.#lines.next()
		const lines = this.#lines
		async function* content(): AsyncGenerator<Uint8Array, void, void> {
			for (next = await lines.next(); next !== null && hasField(next, 'base64'); next = await lines.next())
				yield Buffer.from(parseFields(archivePiece, next).base64, 'base64')
		}
		while (next !== null) {
			if (hasField(next, 'end')) {
				assertCounts(parseFields(archiveEnd, next), { events, files }, next.number)
				await this.#readSignature()
				return
			}
			if (hasField(next, 'file')) {
				const { file, lost = false } = parseFields(archiveFile, next)
				if (lost) {
					this.#lost.add(file)
					next = await lines.next()
					continue
				}
				const { number } = next
				await this.#terms.files.take(file, content()).catch((error: unknown) => {
					throw locate(error, number)
				})
				files += 1
				continue
			}
			events += 1
			yield parseRecord(next)
			next = await lines.next()
		}
		const message = `The archive ends after ${events} events without its last line. Export the plan again.`
		throw new PlanstreamError('bad_request', message, { line: this.#lines.number })
	}

	/**
	 * Checks signature and files, and moves the files that the plan names to their place.
	 *
	 * @returns whether a trusted key has signed the archive
	 */
	async admit(fold: PlanFold): Promise<boolean> {
		const { files, tenant, trust, allowUnsigned } = this.#terms
		const line = this.#lines.number
		const signature = this.#signature
		const signed = signature !== null && (await trust(signature.key))
		if (!allowUnsigned && signature !== null) {
			if (!signed) throw refuseUnsigned(`The key ${signature.key} of its signature is not trusted`, line)
			if (signature.tenant !== tenant) throw refuseUnsigned(`It was exported by the tenant ${signature.tenant}`, line)
		}
		if (fold.state.owner === 'managed') assertGraphOf(fold, line)
		this.#assertHeldResults(fold, line)
		for (const named of Object.values(fold.artifacts)) this.#assertFile(named, line)
		await files.move(Object.keys(fold.artifacts))
		return signed
	}

	/** Reads what follows the end: the signature, and nothing behind it. */
	async #readSignature(): Promise<void> {
		if (this.#version === ARCHIVE_VERSION) {
			const last = await this.#lines.next()
			if (last === null) {
				const message = 'The archive ends without its signature. Export the plan again.'
				throw new PlanstreamError('bad_request', message, { reason: 'unsigned', line: this.#lines.number })
			}
			this.#signature = parseFields(archiveSignature, last)
			assertSigned(this.#lines.digest, this.#signature, last.number)
		}
		const more = await this.#lines.next()
		if (more === null) return
		const message = `Line ${more.number} comes after the end of the archive. Import one plan at a time.`
		throw new PlanstreamError('bad_request', message, { line: more.number })
	}

	/** Results that wait for a review become those of their steps, and no schema of events knows their fields. */
	#assertHeldResults({ held }: PlanFold, line: number): void {
		for (const [step_id, value] of Object.entries(held)) {
			const parsed = heldResult.safeParse(value)
			if (parsed.success) continue
			const why = describeIssue(findFirstIssue(parsed.error), value)
			const message = `The archive holds a result of step ${step_id.slice(0, 80)} that is not one of an export: ${why}`
			throw new PlanstreamError('bad_request', message, { line })
		}
	}

	#assertFile(named: PlanFold['artifacts'][string], line: number): void {
		const { artifact_id, bytes } = named
		const held = this.#terms.files.bytes.get(artifact_id)
		// Archives of version 1 have no files, whatever their steps name.
		const isAbsent = held === undefined && (this.#version === WITHOUT_FILES || this.#lost.has(artifact_id))
		if (isAbsent || held === bytes) return
		const what = held === undefined ? 'which the archive does not hold' : `which has ${held} bytes, not ${bytes}`
		const message = `A step names the file ${artifact_id.slice(0, 80)}, ${what}. Send the lines of an export unchanged.`
		throw new PlanstreamError('bad_request', message, { artifact_id, line })
	}
}

/** Checks the graph of a plan that the server may go on with, and that its steps are those of the graph. */
function assertGraphOf({ plan, created, state }: PlanFold, line: number): void {
	const ids = plan?.steps.map(({ step_id }) => step_id) ?? []
	const isWhole = state.steps.length === ids.length && state.steps.every(({ step_id }, at) => step_id === ids[at])
	const isOwn = [plan, created].every((each) => each?.plan_id === state.plan_id)
	if (plan === null || !isWhole || !isOwn) {
		const message = `The steps of plan ${state.plan_id} are not those of its graph. Send the lines of an export unchanged.`
		throw new PlanstreamError('bad_request', message, { line })
	}
	try {
		assertGraph(plan, null)
	} catch (refusal) {
		throw locate(refusal, line)
	}
}

/** The version of archives without files. */
const WITHOUT_FILES = 1

const heldResult = z.looseObject({ data: json, artifacts: z.array(artifact).max(MAX_ARTIFACTS) })

function parseRecord(line: Line): ArchivedRecord {
	const { seq, fingerprint, sent_digest } = parseFields(archiveRecord, line)
	const { event } = line.value as { readonly event: Omit<PlanEvent, 'seq' | 'cursor'> }
	const text = JSON.stringify(event)
	const bytes = Buffer.byteLength(text)
	if (bytes <= MAX_EVENT_BYTES) return { line: line.number, seq, fingerprint, sent_digest, event, text }
	const message = `Line ${line.number} of the archive holds an event of ${bytes} bytes; the limit is ${MAX_EVENT_BYTES}. Send the lines of an export.`
	throw new PlanstreamError('too_large', message, { bytes, limit: MAX_EVENT_BYTES, line: line.number })
}

function refuseUnsigned(why: string, line: number): PlanstreamError {
	const message = `The archive is not signed for this tenant. ${why}. Import it with a key of the scope operator, or trust its key.`
	return new PlanstreamError('forbidden', message, { scope: 'operator', reason: 'unsigned', line })
}

function hasField({ value }: Line, field: string): boolean {
	return typeof value === 'object' && value !== null && field in value
}

function assertCounts(
	end: z.output<typeof archiveEnd>,
	held: { readonly events: number; readonly files: number },
	line: number,
): void {
	for (const kind of ['events', 'files'] as const) {
		if (end[kind] === held[kind]) continue
		const message = `The archive contains ${held[kind]} ${kind}, but its last line counts ${end[kind]}. Export the plan again.`
		throw new PlanstreamError('bad_request', message, { line })
	}
}

/** Adds the line to a refusal that has none. */
export function locate(error: unknown, line: number): unknown {
	if (!(error instanceof PlanstreamError) || 'line' in error.facts || error.status >= 500) return error
	return new PlanstreamError(error.code, error.message, { ...error.facts, line }, { cause: error.cause })
}

interface Line {
	readonly number: number
	readonly value: unknown
}

/** Limits of an archive: bytes of all lines and of the first one, and values of a line. */
interface LineLimits {
	readonly archive: number
	readonly first: number
	readonly values: number
}

function getLineLimits({ maxBytes, stateBytes, allowUnsigned }: ImportTerms): LineLimits {
	const state = allowUnsigned ? Number.POSITIVE_INFINITY : (stateBytes ?? Number.POSITIVE_INFINITY)
	return {
		archive: maxBytes ?? Number.POSITIVE_INFINITY,
		first: Math.min(MAX_LINE_BYTES, Math.max(MAX_LATER_LINE_BYTES, state * LINE_PER_STATE)),
		values: Math.min(MAX_LINE_VALUES, Math.max(MAX_LATER_LINE_BYTES, state) / LINE_PER_STATE),
	}
}

/** Splits bytes into lines of JSON, and hashes those before the current one. */
class LineReader {
	/** Hash of the lines before the current one. */
	readonly digest = new ArchiveDigest()
	/** Number of the current line. */
	number = 0
	readonly #lines: AsyncGenerator<Buffer>
	readonly #limits: LineLimits
	#current: Buffer | null = null

	constructor(bytes: AsyncIterable<Uint8Array>, limits: LineLimits) {
		this.#limits = limits
		this.#lines = splitLines(bytes, limits)
	}

	/** Returns the next line that is not empty; null at the end. */
	async next(): Promise<Line | null> {
		if (this.#current !== null) {
			this.digest.add(this.#current)
			this.digest.add('\n')
			this.#current = null
		}
		for (;;) {
			const next = await this.#lines.next().catch((error: unknown) => {
				throw locate(error, this.number + 1)
			})
			if (next.done === true) return null
			this.number += 1
			if (next.value.length === 0) continue
			this.#current = next.value
			return { number: this.number, value: parseLine(next.value, this.number, this.#limits.values) }
		}
	}
}

async function* splitLines(
	bytes: AsyncIterable<Uint8Array>,
	{ archive: maxBytes, first }: LineLimits,
): AsyncGenerator<Buffer, void, void> {
	let waiting: Uint8Array[] = []
	let size = 0
	let total = 0
	let limit = first
	for await (const chunk of bytes) {
		total += chunk.length
		if (total > maxBytes) throw createSizeError(maxBytes)
		let from = 0
		for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
			if (size + end - from > limit) throw createLineError(limit)
			yield Buffer.concat([...waiting, chunk.subarray(from, end)])
			limit = MAX_LATER_LINE_BYTES
			waiting = []
			size = 0
			from = end + 1
		}
		waiting.push(chunk.subarray(from))
		size += chunk.length - from
		if (size > limit) throw createLineError(limit)
	}
	if (size > 0) yield Buffer.concat(waiting)
}

function createLineError(limit: number): PlanstreamError {
	const message = `A line of the archive is longer than ${limit} bytes. Send the lines of an export unchanged.`
	return new PlanstreamError('too_large', message, { limit })
}

/** Refuses an archive by its size. */
export function createSizeError(limit: number): PlanstreamError {
	const message = `The archive has more than ${limit} bytes. Have the operator raise import_bytes in the limits file.`
	return new PlanstreamError('too_large', message, { limit })
}

const NEWLINE = 10
const decoder = new TextDecoder('utf-8', { fatal: true })

function parseLine(bytes: Buffer, line: number, maxValues: number): unknown {
	assertFewValues(bytes, line, maxValues)
	try {
		const value: unknown = JSON.parse(decoder.decode(bytes))
		checkJson(value, { depth: MAX_LINE_DEPTH })
		return value
	} catch (cause) {
		const why = cause instanceof Error ? cause.message.slice(0, 200) : ''
		throw new PlanstreamError('bad_request', `Line ${line} of the archive cannot be read: ${why}`, { line })
	}
}

/** Counts what begins or divides values; such characters in texts count, too. */
function assertFewValues(bytes: Buffer, line: number, limit: number): void {
	if (bytes.length <= limit) return
	let values = 0
	// An iterator takes ten times as long for lines of megabytes.
	for (let at = 0; at < bytes.length; at++) {
		const byte = bytes[at]
		if (byte === COMMA || byte === BRACKET || byte === BRACE) values += 1
	}
	if (values > limit) throw createValuesError(line, limit)
}

function createValuesError(line: number, limit: number): PlanstreamError {
	const message = `Line ${line} of the archive holds more than ${limit} values. Send the lines of an export unchanged.`
	return new PlanstreamError('too_large', message, { limit, line })
}

const COMMA = 44
const BRACKET = 91
const BRACE = 123

function parseFields<Value>(schema: z.ZodType<Value>, { number, value }: Line): Value {
	const parsed = schema.safeParse(value)
	if (parsed.success) return parsed.data
	const [issue] = parsed.error.issues
	const what = issue === undefined ? '' : describeIssue(issue, value)
	throw new PlanstreamError('bad_request', `Line ${number} of the archive is not a line of an export: ${what}`, { line: number })
}
