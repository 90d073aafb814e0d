import { PlanstreamError } from '@planstream/shared'
import { check, fraction, jsonObject } from '@planstream/shared/schemas'
import * as z from 'zod'
import { resultText } from './result-text.js'

const result = z.object({
	data: jsonObject,
	quality_score: fraction.optional(),
	checks: z.array(check).max(256).optional(),
})
type ParsedResult = z.output<typeof result>

/**
 * An agent's result as plain JSON of its own, so that nothing the agent does later can change it.
 *
 * @throws PlanstreamError `invalid_event` for what is no result, `too_large` for one that does not fit into an event
 */
export function parseResult(returned: unknown): ParsedResult {
	const text = resultText(returned)
	const parsed = result.safeParse(text === undefined ? undefined : JSON.parse(text))
	if (!parsed.success) {
		const [issue] = parsed.error.issues
		const path = issue?.path.join('.') ?? ''
		const sentence = `The agent returned no result: ${path === '' ? 'it' : path} ${issue?.message ?? 'is wrong'}. Return { data, quality_score?, checks? }.`
		throw new PlanstreamError('invalid_event', sentence, { path })
	}
	return parsed.data
}
