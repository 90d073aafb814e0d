import { PlanstreamError, type Usage } from '@planstream/shared'
import * as z from 'zod'
import { getOwn } from '../../ops/json.js'
import type { Agent, StepContext, StepUpdate } from '../../plans/agent.js'
import { AgentError, agentError, defineAgent } from '../define-agent.js'
import { type Sleep, sleepInRealTime } from '../scripted.js'
import { createCutOffError, readChunks, requestChat } from './request.js'

/** Maximum length of a filled prompt, in characters. */
const MAX_PROMPT = 1024 * 1024
const PLACE = /\{\{\s*((?:inputs|plan)(?:\.[\w-]+)+)\s*\}\}/g

/**
 * Fills the placeholders of a prompt: `{{inputs.STEP}}` or a part of that result, `{{plan.query}}`, `{{plan.input.NAME}}`. Text
 * is inserted verbatim, everything else as JSON; the result of a skipped or failed step is null, and so is every part of it.
 * Other braces stay as they are, and inserted text is not expanded again.
 *
 * @param where - the name of the prompt in the step's input
 * @throws AgentError `bad_input` for an unknown placeholder, `too_large`
 */
export function fillPrompt(template: string, where: string, { plan, inputs }: Pick<StepContext, 'plan' | 'inputs'>): string {
	let length = template.length
	return template.replaceAll(PLACE, (place: string, path: string) => {
		const value = resolvePath({ plan, inputs }, path.split('.'), where)
		const text = typeof value === 'string' ? value : JSON.stringify(value)
		length += text.length - place.length
		if (length <= MAX_PROMPT) return text
		const message = `${where}: exceeds ${MAX_PROMPT} characters once its placeholders are filled. Refer to smaller parts of the results.`
		throw agentError('too_large', message)
	})
}

function resolvePath(given: unknown, path: readonly string[], where: string): unknown {
	let value = given
	for (const [index, name] of path.entries()) {
		if (value === null) return null
		const holder: Readonly<Record<string, unknown>> = typeof value === 'object' ? { ...value } : {}
		const part = getOwn(holder, name)
		if (part === undefined) throw createUnknownPathError(path, index, Object.keys(holder), where)
		value = part
	}
	return value
}

function createUnknownPathError(path: readonly string[], index: number, known: readonly string[], where: string) {
	const place = path.slice(0, index).join('.')
	const there = known.length === 0 ? `${place} has no parts` : `${place} has ${known.slice(0, 20).join(', ')}`
	const message = `${where}: refers to ${path.join('.')}, which does not exist: ${there}. Only results of steps in depends_on are inputs.`
	return agentError('bad_input', message, { path: where })
}

/** Maximum length of an answer, so that it fits into a result. */
const MAX_TEXT = 60 * 1024

const chatInput = z.strictObject({
	prompt: z.string().min(1),
	system: z.string().min(1).optional(),
	model: z.string().min(1).max(256).optional(),
	temperature: z.number().min(0).max(2).optional(),
	max_tokens: z.int().min(1).optional(),
})

const chatResult = z.object({ text: z.string(), model: z.string(), finish_reason: z.string() })

/** Settings of the model server. A plan cannot change them. */
export interface OpenAiCompatibleOptions {
	/** The `agent_type` of its steps. @defaultValue `'openai-compatible'` */
	readonly type?: string
	/** URL that `/chat/completions` is appended to, such as `https://api.openai.com/v1`. */
	readonly baseUrl: string
	/** Name of the environment variable that holds the key. @defaultValue no key is sent */
	readonly apiKeyEnv?: string
	/** Model for steps that name none. */
	readonly model?: string
}

interface Surroundings {
	readonly env?: NodeJS.ProcessEnv
	readonly sleep?: Sleep
}

/**
 * Creates an agent that answers prompts with a language model, on any server with OpenAI's chat completions API. The answer is
 * streamed as `step_output`, its tokens are the step's usage, and its result is `{ text, model, finish_reason }`.
 *
 * @throws PlanstreamError `bad_request` for an invalid `baseUrl` and for an environment variable that is not set
 * @example
 * ```ts
 * openAiCompatibleAgent({ baseUrl: 'http://localhost:11434/v1', model: 'llama3.2' })
 * ```
 */
export function openAiCompatibleAgent(options: OpenAiCompatibleOptions, surroundings: Surroundings = {}): Agent {
	const { type = 'openai-compatible', baseUrl, apiKeyEnv, model } = options
	const { env = process.env, sleep = sleepInRealTime } = surroundings
	const url = `${assertBaseUrl(baseUrl)}/chat/completions`
	const key = () => (apiKeyEnv === undefined ? null : readKey(env, apiKeyEnv))
	key()
	return defineAgent({
		type,
		input: chatInput,
		result: chatResult,
		async *execute({ input }, context) {
			const body = toBody(input, context, model)
			const secret = key()
			using linked = new LinkedSignal(context.signal)
			try {
				const response = await requestChat({ url, key: secret, body, signal: linked.signal, sleep })
				if (response.body === null) throw createCutOffError()
				yield* streamAnswer(response.body, body.model)
			} catch (thrown) {
				linked.signal.throwIfAborted()
				throw redactKey(thrown, secret)
			}
		},
	})
}

async function* streamAnswer(
	bytes: AsyncIterable<Uint8Array>,
	asked: string,
): AsyncGenerator<StepUpdate<z.input<typeof chatResult>>, void, void> {
	let text = ''
	let model = asked
	let finish_reason: string | null = null
	let usage: Usage = {}
	for await (const chunk of readChunks(bytes)) {
		if (chunk.error != null) {
			const reason = typeof chunk.error === 'string' ? chunk.error : chunk.error.message
			const message = `The model server failed in the middle of its answer: ${reason}`
			throw agentError('upstream_failed', message, { retryable: true })
		}
		model = chunk.model ?? model
		usage = chunk.usage == null ? usage : pickNumbers(chunk.usage)
		const [choice] = chunk.choices
		finish_reason = choice?.finish_reason ?? finish_reason
		const delta = choice?.delta?.content ?? ''
		if (delta === '') continue
		text += delta
		if (text.length > MAX_TEXT) {
			const message = `The answer has more than ${MAX_TEXT} characters, the limit of a result. Lower max_tokens, or ask for less.`
			throw agentError('too_large', message)
		}
		yield { output: delta }
	}
	if (finish_reason === null) throw createCutOffError()
	yield { usage }
	yield { result: { data: { text, model, finish_reason } } }
}

function toBody(
	input: z.output<typeof chatInput>,
	given: Pick<StepContext, 'plan' | 'inputs'>,
	defaultModel: string | undefined,
) {
	const { prompt, system, model = defaultModel, temperature, max_tokens } = input
	if (model === undefined) {
		const message = 'input.model: is missing, and this server has no default model. Name a model.'
		throw agentError('bad_input', message, { path: 'input.model' })
	}
	const user = { role: 'user', content: fillPrompt(prompt, 'input.prompt', given) }
	const first = system === undefined ? [] : [{ role: 'system', content: fillPrompt(system, 'input.system', given) }]
	return {
		model,
		messages: [...first, user],
		stream: true,
		stream_options: { include_usage: true },
		temperature,
		max_tokens,
	}
}

function pickNumbers(usage: Readonly<Record<string, unknown>>): Usage {
	const numbers = Object.entries(usage).filter((entry): entry is [string, number] => Number.isFinite(entry[1]))
	return Object.fromEntries(numbers)
}

/** Removes the key from an error: a server may echo it, and it must not reach events or logs. */
function redactKey(thrown: unknown, key: string | null): unknown {
	if (!(thrown instanceof AgentError) || key === null || !thrown.message.includes(key)) return thrown
	return new AgentError(thrown.code, thrown.message.replaceAll(key, '[key]'), { retryable: thrown.retryable })
}

function assertBaseUrl(text: string): string {
	if (isBaseUrl(text)) return text.replace(/\/+$/, '')
	const message = `baseUrl is "${text}"; it must be an http or https URL without user, query or fragment.`
	throw new PlanstreamError('bad_request', message)
}

/** Whether a text is a URL that paths can be appended to. */
export function isBaseUrl(text: string): boolean {
	if (!URL.canParse(text)) return false
	const { protocol, username, password, search, hash } = new URL(text)
	return /^https?:$/.test(protocol) && [username, password, search, hash].every((part) => part === '')
}

function readKey(env: NodeJS.ProcessEnv, name: string): string {
	const key = env[name]
	if (key !== undefined && key !== '') return key
	const message = `The environment variable ${name} for the model server's key is not set. Set it, or do not name a variable.`
	throw new PlanstreamError('bad_request', message)
}

/** Follows another signal until it is disposed: `fetch` leaves its listener on the signal it gets. */
class LinkedSignal implements Disposable {
	readonly #source: AbortSignal
	readonly #controller = new AbortController()
	readonly #abort = () => this.#controller.abort(this.#source.reason)

	constructor(source: AbortSignal) {
		this.#source = source
		if (source.aborted) this.#abort()
		else source.addEventListener('abort', this.#abort, { once: true })
	}

	get signal(): AbortSignal {
		return this.#controller.signal
	}

	[Symbol.dispose](): void {
		this.#source.removeEventListener('abort', this.#abort)
	}
}
