import { type Failure, type Json, type OutputChannel, PlanstreamError, type Usage } from '@planstream/shared'
import { artifact, check, fraction, jsonObject, outputChannel } from '@planstream/shared/schemas'
import * as z from 'zod'
import { findFirstIssue } from '../ops/issues.js'
import { findJsonFault } from '../ops/json.js'
import type { AgentSchemas } from './agent.js'

/** Largest result that fits into its event; larger content belongs in an artifact. */
const MAX_RESULT_BYTES = 60 * 1024

/**
 * Serialises an agent's return value; undefined for a value without a JSON form.
 *
 * @throws PlanstreamError `invalid_event` for a value that JSON would change, `too_large` for one that does not fit into an event
 */
export function stringifyResult(returned: unknown): string | undefined {
	const text = stringify(returned)
	const bytes = Buffer.byteLength(text ?? '')
	if (bytes > MAX_RESULT_BYTES) {
		const message = `The result has ${bytes} bytes; the limit is ${MAX_RESULT_BYTES}. Store large content with context.artifact and refer to it in the result.`
		throw new PlanstreamError('too_large', message, { bytes, limit: MAX_RESULT_BYTES })
	}
	// After the size, which bounds the walk.
	if (text !== undefined) assertJson(returned)
	return text
}

function stringify(returned: unknown): string | undefined {
	try {
		return JSON.stringify(returned)
	} catch (cause) {
		assertJson(returned)
		const message = 'The agent returned a value that cannot be written as JSON (a cycle or a bigint). Return plain JSON.'
		throw new PlanstreamError('invalid_event', message, {}, { cause })
	}
}

/** @throws PlanstreamError `invalid_event` with the `path` of a value that JSON would drop or change */
function assertJson(returned: unknown): void {
	const fault = findJsonFault(returned, { local: true })
	if (fault === null) return
	const { what, ...facts } = fault
	const message = `The agent returned an invalid result: ${fault.path === '' ? 'it' : fault.path} ${what}.`
	throw new PlanstreamError('invalid_event', message, facts)
}

const result = z.object({
	data: jsonObject,
	quality_score: fraction.optional(),
	checks: z.array(check).max(256).optional(),
})
type ParsedResult = z.output<typeof result>

/**
 * Parses an agent's result into a copy, so that the agent cannot change it later.
 *
 * @throws PlanstreamError `invalid_event` for an invalid result, `too_large` for one that does not fit into an event
 */
export function parseResult(returned: unknown, { result: schema }: AgentSchemas): ParsedResult {
	const text = stringifyResult(returned)
	const parsed = result.safeParse(text === undefined ? undefined : JSON.parse(text))
	if (!parsed.success) refuseResult(parsed.error, [])
	const data = schema?.safeParse(parsed.data.data)
	if (data === undefined) return parsed.data
	if (!data.success) refuseResult(data.error, ['data'])
	// A schema may transform what it parses.
	assertJson({ data: data.data })
	return { ...parsed.data, data: data.data as ParsedResult['data'] }
}

function refuseResult(error: z.ZodError, where: readonly string[]): never {
	const issue = findFirstIssue(error)
	const path = [...where, ...issue.path].join('.')
	const message = `The agent returned an invalid result: ${path === '' ? 'it' : path} ${issue.message}. Return { data, quality_score?, checks? } as the agent's result schema says.`
	throw new PlanstreamError('invalid_event', message, { path })
}

const amount = z.number().refine((number) => findJsonFault(number) === null, 'is an integer too large to be exact')
const units = z.object({ current: amount, total: amount, unit: z.string() })
const progressCall = z.object({ fraction: z.number(), message: z.string().default(''), units: units.optional() })
const outputCall = z.object({ delta: z.string(), channel: outputChannel.default('text'), level: z.string().optional() })
const usedAmounts = z.record(z.string(), z.number())
const usageCall = z.object({
	name: z
		.string()
		.min(1)
		.max(128)
		.refine((name) => name !== '__proto__', 'is a name that no field may have'),
	amount,
})
const artifactCall = z.object({
	name: artifact.shape.name,
	media_type: artifact.shape.media_type,
	content: z.union([z.string(), z.instanceof(Uint8Array)]),
})

/** Validates a context call before it takes effect: not every agent is written in TypeScript. */
export function parseProgress(called: {
	fraction: number
	message: string | undefined
	units: z.input<typeof units> | undefined
}) {
	return parseCall('progress', progressCall, called)
}

export function parseOutput(called: { delta: string; channel?: OutputChannel | undefined; level?: string | undefined }) {
	return parseCall('output', outputCall, called)
}

export function parseArtifact(called: { name: string; content: string | Uint8Array; media_type: string }) {
	return parseCall('artifact', artifactCall, called)
}

/** @returns the new total under each name of the call */
export function parseUsage(used: Usage, before: ReadonlyMap<string, number> = new Map()): [string, number][] {
	parseCall('usage', usedAmounts, used)
	return Object.entries(used).map(([name, more]) => {
		const { amount } = parseCall('usage', usageCall, { name, amount: more + (before.get(name) ?? 0) })
		return [name, amount]
	})
}

/** @throws PlanstreamError `bad_request`, which fails the attempt unless the agent catches it */
function parseCall<Schema extends z.ZodType>(call: string, schema: Schema, called: unknown): z.output<Schema> {
	const parsed = schema.safeParse(called)
	if (parsed.success) return parsed.data
	const [issue] = parsed.error.issues
	const path = [call, ...(issue?.path ?? [])].join('.')
	const message = `The agent called context.${call} with an invalid argument: ${path}: ${issue?.message ?? 'is wrong'}. Correct the agent.`
	throw new PlanstreamError('bad_request', message, { path })
}

const MAX_MESSAGE = 4096
const CODE = /^[A-Za-z0-9._-]{1,128}$/

/** Converts a thrown value into a failure, keeping its own `code` and `retryable` if it has them. Accepts any value. */
export function toFailure(thrown: unknown): Failure {
	try {
		return describeThrown(thrown)
	} catch {
		const message = 'The agent threw a value that cannot be read. Throw an Error.'
		return { code: 'agent_error', message, retryable: true }
	}
}

function describeThrown(thrown: unknown): Failure {
	const facts: { readonly code?: Json; readonly retryable?: Json } = typeof thrown === 'object' && thrown !== null ? thrown : {}
	const { code, retryable } = facts
	// A typed error says what its reader may know; its cause, such as an internal address, is for the log.
	const text = thrown instanceof PlanstreamError ? thrown.message : describeCauses(thrown).join(': ')
	const mistake = thrown instanceof PlanstreamError && !thrown.retryable
	return {
		code: typeof code === 'string' && CODE.test(code) ? code : 'agent_error',
		message: text.slice(0, MAX_MESSAGE),
		retryable: typeof retryable === 'boolean' ? retryable : !mistake,
	}
}

/** Errors of a chain of causes, or of a group, that a failure names. */
const MAX_CAUSES = 5
const MAX_GROUPED = 3

/** Describes an error and its causes: "fetch failed" alone does not say why. */
function describeCauses(thrown: unknown): string[] {
	const texts: string[] = []
	let error = thrown
	for (let depth = 0; depth < MAX_CAUSES && (depth === 0 || error != null); depth += 1) {
		const text = describeOne(error)
		if (!texts.some((known) => known.includes(text))) texts.push(text)
		error = error instanceof Error ? error.cause : undefined
	}
	return texts
}

function describeOne(error: unknown): string {
	if (!(error instanceof Error)) return String(error)
	const inner = error instanceof AggregateError ? error.errors.slice(0, MAX_GROUPED).map(getText).join('; ') : ''
	return [error.message, inner].filter((text) => text !== '').join(': ') || error.name
}

function getText(error: unknown): string {
	return error instanceof Error ? error.message || error.name : String(error)
}
