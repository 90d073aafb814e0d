import { PlanstreamError } from '@planstream/shared'

/** A result up to this size fits into its event; a larger one is an artifact. */
const MAX_RESULT_BYTES = 60 * 1024

/**
 * What an agent returned as JSON text; undefined for what is nothing in JSON.
 *
 * @throws PlanstreamError `invalid_event` for what cannot be JSON, `too_large` for what does not fit into an event
 */
export function resultText(returned: unknown): string | undefined {
	const text = toText(returned)
	const bytes = Buffer.byteLength(text ?? '')
	if (bytes <= MAX_RESULT_BYTES) return text
	const sentence = `The result has ${bytes} bytes; the limit is ${MAX_RESULT_BYTES}. Store large content with context.artifact and name it in the result.`
	throw new PlanstreamError('too_large', sentence, { bytes, limit: MAX_RESULT_BYTES })
}

function toText(returned: unknown): string | undefined {
	try {
		return JSON.stringify(returned)
	} catch (cause) {
		const sentence = 'The agent returned what cannot be written as JSON (a cycle or a bigint).'
		throw new PlanstreamError('invalid_event', sentence, {}, { cause })
	}
}
