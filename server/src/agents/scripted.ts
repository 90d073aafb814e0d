import { setImmediate, setTimeout } from 'node:timers/promises'
import { check, fraction, jsonObject, MAX_DELAY_MS, outputChannel, usage } from '@planstream/shared/schemas'
import * as z from 'zod'
import type { Agent, StepContext, StepResult } from '../plans/agent.js'
import { AgentError, defineAgent } from './define-agent.js'

const MAX_REPEATS = 1_000_000
const MAX_RESULT_BYTES = 67_108_864

const update = z.union([
	z.strictObject({ progress: fraction, message: z.string().optional() }),
	z.strictObject({
		output: z.string(),
		channel: outputChannel.default('text'),
		repeat: z.int().min(1).max(MAX_REPEATS).default(1).describe('number of times the text is sent, each as its own output'),
	}),
	z.strictObject({ wait_ms: z.number().min(0).max(MAX_DELAY_MS).describe('real time') }),
	z.strictObject({ usage }),
	z.strictObject({ artifact: z.strictObject({ name: z.string().min(1), text: z.string(), media_type: z.string().min(1) }) }),
])

const failure = z.strictObject({
	times: z.int().min(1).default(1).describe('attempts 1 to this one fail'),
	code: z.string().min(1).max(128).default('scripted'),
	message: z.string().default('The script of this step makes this attempt fail.'),
	retryable: z.boolean().default(true),
})

const ENDINGS = ['result', 'result_bytes', 'garbage', 'hang', 'echo_inputs'] as const

/** Script of a step: its updates in order, then its failure or its ending. */
export const scriptedInput = z
	.strictObject({
		updates: z.array(update).max(10_000).default([]),
		fail: failure.optional(),
		ignore_abort: z.boolean().default(false).describe('keep running after an abort'),
		quality_score: fraction.optional(),
		checks: z.array(check).max(64).optional(),
		result: jsonObject.optional().describe('the result; {} when no ending is given'),
		result_bytes: z.int().min(0).max(MAX_RESULT_BYTES).optional().describe('a result of this many bytes of JSON'),
		garbage: z.literal(true).optional().describe('a result that cannot be written as JSON'),
		hang: z.literal(true).optional().describe('never ends by itself'),
		echo_inputs: z.literal(true).optional().describe('the results of the dependencies as the result'),
	})
	.superRefine((input, context) => {
		const given = ENDINGS.filter((ending) => input[ending] !== undefined)
		if (given.length < 2) return
		context.addIssue({ code: 'custom', path: [given[1] ?? ''], message: `contradicts ${given[0] ?? ''}: give one ending` })
	})

/** Any object, as the script gives it. */
const scriptedResult = z.record(z.string(), z.unknown())

export type ScriptedInput = z.output<typeof scriptedInput>
export type ScriptedUpdate = z.output<typeof update>

/** Waits in real time; rejects when the signal aborts. */
export type Sleep = (ms: number, signal?: AbortSignal) => Promise<void>

export const sleepInRealTime: Sleep = async (ms, signal) => {
	await setTimeout(ms, undefined, signal === undefined ? {} : { signal })
}

/** Repeated outputs sent between two turns of the event loop. */
const OUTPUTS_A_TURN = 1000

/**
 * Creates the test and demonstration agent `scripted`, which follows the script in its step's `input`; see the schema {@link
 * scriptedInput}. Invalid input fails with `bad_input` and the path.
 *
 * @param options.sleep - implementation of waits. @defaultValue a timer in real time
 * @example
 * ```ts
 * const agent = scriptedAgent()
 * // step.input: { updates: [{ progress: 0.5 }, { wait_ms: 50 }, { output: 'half way' }], result: { answer: 42 } }
 * ```
 */
export function scriptedAgent({ sleep = sleepInRealTime }: { readonly sleep?: Sleep } = {}): Agent {
	return defineAgent({
		type: 'scripted',
		input: scriptedInput,
		result: scriptedResult,
		async execute({ input: script }, context) {
			const signal = script.ignore_abort ? undefined : context.signal
			for (const update of script.updates) {
				signal?.throwIfAborted()
				await perform(update, context, sleep, signal)
			}
			signal?.throwIfAborted()
			if (script.fail !== undefined && context.attempt <= script.fail.times) {
				throw new AgentError(script.fail.code, script.fail.message, { retryable: script.fail.retryable })
			}
			if (script.hang === true) await waitForever(signal)
			return toResult(script, context)
		},
	})
}

async function perform(update: ScriptedUpdate, context: StepContext, sleep: Sleep, signal?: AbortSignal): Promise<void> {
	if ('progress' in update) {
		context.progress(update.progress, update.message)
	} else if ('output' in update) {
		await repeatOutput(update, context, signal)
	} else if ('wait_ms' in update) {
		await sleep(update.wait_ms, signal)
	} else if ('usage' in update) {
		context.usage(update.usage)
	} else {
		const { name, text, media_type } = update.artifact
		await context.artifact(name, text, media_type)
	}
}

type OutputUpdate = Extract<ScriptedUpdate, { output: string }>

async function repeatOutput(update: OutputUpdate, context: StepContext, signal?: AbortSignal): Promise<void> {
	for (let sent = 1; sent <= update.repeat; sent++) {
		context.output(update.output, { channel: update.channel })
		if (sent % OUTPUTS_A_TURN === 0) await setImmediate(undefined, signal === undefined ? {} : { signal })
	}
}

/** Rejects on abort, or never settles when aborts are ignored. */
function waitForever(signal?: AbortSignal): Promise<never> {
	return new Promise((_resolve, reject) => {
		signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
	})
}

function toResult(script: ScriptedInput, context: StepContext): StepResult {
	return {
		data: toData(script, context),
		...(script.quality_score === undefined ? {} : { quality_score: script.quality_score }),
		...(script.checks === undefined ? {} : { checks: script.checks }),
	}
}

function toData(script: ScriptedInput, context: StepContext): Record<string, unknown> {
	if (script.echo_inputs === true) return { ...context.inputs }
	if (script.garbage === true) return createCircle()
	if (script.result_bytes !== undefined) return createFiller(script.result_bytes)
	return script.result ?? {}
}

/** Creates data that JSON cannot represent: it contains itself and a bigint. */
function createCircle(): Record<string, unknown> {
	const data: Record<string, unknown> = { count: 1n }
	data.self = data
	return data
}

/** Creates an object whose JSON has this many bytes, or as few as an object with a text can have. */
function createFiller(bytes: number): Record<string, unknown> {
	const frame = JSON.stringify({ text: '' }).length
	return { text: 'x'.repeat(Math.max(0, bytes - frame)) }
}
