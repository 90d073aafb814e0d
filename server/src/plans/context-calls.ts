import { type OutputChannel, PlanstreamError, type Usage } from '@planstream/shared'
import { outputChannel } from '@planstream/shared/schemas'
import * as z from 'zod'

const units = z.object({ current: z.number(), total: z.number(), unit: z.string() })
const progressCall = z.object({ fraction: z.number(), message: z.string().default(''), units: units.optional() })
const outputCall = z.object({ delta: z.string(), channel: outputChannel.default('text'), level: z.string().optional() })
const usageCall = z.object({ name: z.string().min(1).max(128), amount: z.number() })
const artifactCall = z.object({
	name: z.string(),
	media_type: z.string(),
	content: z.union([z.string(), z.instanceof(Uint8Array)]),
})

/** What an agent passed to its context, checked before anything is made of it: TypeScript does not reach every agent. */
export function parseProgress(called: {
	fraction: number
	message: string | undefined
	units: z.input<typeof units> | undefined
}) {
	return parse('progress', progressCall, called)
}

export function parseOutput(called: { delta: string; channel?: OutputChannel | undefined; level?: string | undefined }) {
	return parse('output', outputCall, called)
}

export function parseArtifact(called: { name: string; content: string | Uint8Array; media_type: string }) {
	return parse('artifact', artifactCall, called)
}

/** @returns what has been used in all, under each name that was given */
export function parseUsage(used: Usage, before: ReadonlyMap<string, number>): [string, number][] {
	return Object.entries(used).map(([name, more]) => {
		const { amount } = parse('usage', usageCall, { name, amount: more + (before.get(name) ?? 0) })
		return [name, amount]
	})
}

/** @throws PlanstreamError `bad_request`, which fails the attempt unless the agent catches it */
function parse<Schema extends z.ZodType>(call: string, schema: Schema, called: unknown): z.output<Schema> {
	const parsed = schema.safeParse(called)
	if (parsed.success) return parsed.data
	const [issue] = parsed.error.issues
	const path = [call, ...(issue?.path ?? [])].join('.')
	const sentence = `The agent called context.${call} with what it does not take: ${path}: ${issue?.message ?? 'is wrong'}. Correct the agent.`
	throw new PlanstreamError('bad_request', sentence, { path })
}
