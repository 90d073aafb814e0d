import { PlanstreamError } from '@planstream/shared'
import { check, fraction, jsonObject } from '@planstream/shared/schemas'
import * as z from 'zod'
import { firstIssue } from '../ops/issues.js'
import type { AgentSchemas } from './agent.js'
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
export function parseResult(returned: unknown, { result: schema }: AgentSchemas): ParsedResult {
	const text = resultText(returned)
	const parsed = result.safeParse(text === undefined ? undefined : JSON.parse(text))
	if (!parsed.success) refuse(parsed.error, [])
	const data = schema?.safeParse(parsed.data.data)
	if (data === undefined) return parsed.data
	if (!data.success) refuse(data.error, ['data'])
	return { ...parsed.data, data: data.data as ParsedResult['data'] }
}

function refuse(error: z.ZodError, where: readonly string[]): never {
	const issue = firstIssue(error)
	const path = [...where, ...issue.path].join('.')
	const sentence = `The agent returned no result: ${path === '' ? 'it' : path} ${issue.message}. Return { data, quality_score?, checks? } with the data that the agent promises.`
	throw new PlanstreamError('invalid_event', sentence, { path })
}
