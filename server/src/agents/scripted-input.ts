import { check, fraction, jsonObject, MAX_DELAY_MS, outputChannel, usage } from '@planstream/shared/schemas'
import * as z from 'zod'

const MAX_REPEATS = 1_000_000
const MAX_RESULT_BYTES = 67_108_864

const update = z.union([
	z.strictObject({ progress: fraction, message: z.string().optional() }),
	z.strictObject({
		output: z.string(),
		channel: outputChannel.default('text'),
		repeat: z.int().min(1).max(MAX_REPEATS).default(1).describe('how often the text is sent, each time by itself'),
	}),
	z.strictObject({ wait_ms: z.number().min(0).max(MAX_DELAY_MS).describe('real time') }),
	z.strictObject({ usage }),
	z.strictObject({ artifact: z.strictObject({ name: z.string().min(1), text: z.string(), media_type: z.string().min(1) }) }),
])

const failure = z.strictObject({
	times: z.int().min(1).default(1).describe('the attempts 1 to this one fail'),
	code: z.string().min(1).max(128).default('scripted'),
	message: z.string().default('The script of this step says that the attempt fails.'),
	retryable: z.boolean().default(true),
})

const ENDINGS = ['result', 'result_bytes', 'garbage', 'hang', 'echo_inputs'] as const

/** What a scripted step does: its updates in order, then its failure or its ending. */
export const scriptedInput = z
	.strictObject({
		updates: z.array(update).max(10_000).default([]),
		fail: failure.optional(),
		ignore_abort: z.boolean().default(false).describe('go on as if nothing had been aborted'),
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

/** Whatever the script says. */
export const scriptedResult = z.record(z.string(), z.unknown())

export type ScriptedInput = z.output<typeof scriptedInput>
export type ScriptedUpdate = z.output<typeof update>
