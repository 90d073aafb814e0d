import { own } from '../../hub/own.js'
import type { StepContext } from '../../plans/agent.js'
import { agentError } from '../agent-error.js'

/** A prompt is filled up to this length, in characters. */
const MAX_PROMPT = 1024 * 1024
const PLACE = /\{\{\s*((?:inputs|plan)(?:\.[\w-]+)+)\s*\}\}/g

/**
 * Puts what the step was given into the places of a prompt that name it: `{{inputs.STEP}}` or a part of that result,
 * `{{plan.query}}`, `{{plan.input.NAME}}`. Text goes in as it is, everything else as JSON; the result of a step that was skipped
 * or failed is null, and so is every part of it. Any other braces are left as they are, and what is put in is not looked at again.
 *
 * @param where - the name of the prompt in the step's input
 * @throws AgentError `bad_input` for a place that names nothing, `too_large`
 */
export function fillPrompt(template: string, where: string, { plan, inputs }: Pick<StepContext, 'plan' | 'inputs'>): string {
	let length = template.length
	return template.replaceAll(PLACE, (place: string, path: string) => {
		const value = valueAt({ plan, inputs }, path.split('.'), where)
		const text = typeof value === 'string' ? value : JSON.stringify(value)
		length += text.length - place.length
		if (length <= MAX_PROMPT) return text
		const sentence = `${where}: would have more than ${MAX_PROMPT} characters with its places filled. Name smaller parts of the results.`
		throw agentError('too_large', sentence)
	})
}

function valueAt(given: unknown, path: readonly string[], where: string): unknown {
	let value = given
	for (const [index, name] of path.entries()) {
		if (value === null) return null
		const holder: Readonly<Record<string, unknown>> = typeof value === 'object' ? { ...value } : {}
		const part = own(holder, name)
		if (part === undefined) throw nothingThere(path, index, Object.keys(holder), where)
		value = part
	}
	return value
}

function nothingThere(path: readonly string[], index: number, known: readonly string[], where: string) {
	const place = path.slice(0, index).join('.')
	const there = known.length === 0 ? `${place} has no parts` : `${place} has ${known.slice(0, 20).join(', ')}`
	const sentence = `${where}: names ${path.join('.')}, which is not there: ${there}. Only results of steps in depends_on are inputs.`
	return agentError('bad_input', sentence, { path: where })
}
