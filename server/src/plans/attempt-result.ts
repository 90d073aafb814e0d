import { type Failure, type Json, PlanstreamError } from '@planstream/shared'
import { check, fraction, jsonObject } from '@planstream/shared/schemas'
import * as z from 'zod'

/** A result up to this size fits into its event; a larger one is an artifact. */
const MAX_RESULT_BYTES = 60 * 1024
const MAX_MESSAGE = 4096
const CODE = /^[A-Za-z0-9._-]{1,128}$/

const result = z.object({
	data: jsonObject,
	quality_score: fraction.optional(),
	checks: z.array(check).max(256).optional(),
})
export type ParsedResult = z.output<typeof result>

/**
 * An agent's result as plain JSON of its own, so that nothing the agent does later can change it.
 *
 * @throws PlanstreamError `invalid_event` for what is no result, `too_large` for one that does not fit into an event
 */
export function parseResult(returned: unknown): ParsedResult {
	const text = toText(returned)
	const parsed = result.safeParse(text === undefined ? undefined : JSON.parse(text))
	if (!parsed.success) {
		const [issue] = parsed.error.issues
		const path = issue?.path.join('.') ?? ''
		const sentence = `The agent returned no result: ${path === '' ? 'it' : path} ${issue?.message ?? 'is wrong'}. Return { data, quality_score?, checks? }.`
		throw new PlanstreamError('invalid_event', sentence, { path })
	}
	const bytes = Buffer.byteLength(text ?? '')
	if (bytes > MAX_RESULT_BYTES) {
		const sentence = `The result has ${bytes} bytes; the limit is ${MAX_RESULT_BYTES}. Store large content with context.artifact and name it in the result.`
		throw new PlanstreamError('too_large', sentence, { bytes, limit: MAX_RESULT_BYTES })
	}
	return parsed.data
}

function toText(returned: unknown): string | undefined {
	try {
		return JSON.stringify(returned satisfies unknown)
	} catch (cause) {
		throw new PlanstreamError(
			'invalid_event',
			'The agent returned what cannot be written as JSON (a cycle or a bigint).',
			{},
			{ cause },
		)
	}
}

/** What an event says of something an agent threw: its own `code` and `retryable` where it gave them. */
export function failureOf(thrown: unknown): Failure {
	const facts: { readonly code?: Json; readonly retryable?: Json } = typeof thrown === 'object' && thrown !== null ? thrown : {}
	const text = thrown instanceof Error ? thrown.message : String(thrown)
	const mistake = thrown instanceof PlanstreamError && !thrown.retryable
	return {
		code: typeof facts.code === 'string' && CODE.test(facts.code) ? facts.code : 'agent_error',
		message: text.slice(0, MAX_MESSAGE),
		retryable: typeof facts.retryable === 'boolean' ? facts.retryable : !mistake,
	}
}
