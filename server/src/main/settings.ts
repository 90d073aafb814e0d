import { PlanstreamError } from '@planstream/shared'
import * as z from 'zod'
import { LOOPBACK_HOSTS } from '../api/auth.js'
import { LOG_LEVELS } from '../ops/logger.js'

/** A text of digits as a number within bounds; the sentence says both. */
function wholeNumber(minimum: number, maximum: number, what: string) {
	const sentence = `must be ${what}, a whole number from ${minimum} to ${maximum}`
	return z
		.string()
		.regex(/^\d+$/, sentence)
		.transform(Number)
		.refine((value) => value >= minimum && value <= maximum, sentence)
}

const variables = z.object({
	HOST: z
		.enum(LOOPBACK_HOSTS, {
			error: `must be one of ${LOOPBACK_HOSTS.join(', ')}: without authentication this server answers its own machine only`,
		})
		.default('127.0.0.1'),
	PORT: wholeNumber(0, 65_535, 'the port to listen on (0 picks a free one)').default(3000),
	PLANSTREAM_DATA: z.string().default('.planstream'),
	PLANSTREAM_SCRIPTED: z
		.enum(['0', '1'], { error: 'must be 1 to offer the scripted agent, or 0' })
		.default('0')
		.transform((text) => text === '1'),
	WEBSOCKET_PING_INTERVAL: wholeNumber(1, 86_400, 'the seconds between two pings').default(30),
	MAX_WEBSOCKET_CLIENTS: wholeNumber(1, 1_000_000, 'how many connections are held at most').default(10_000),
	LOG_LEVEL: z.enum(LOG_LEVELS, { error: `must be one of ${LOG_LEVELS.join(', ')}` }).default('info'),
})

/** What the environment says about how to serve. */
export type Settings = z.output<typeof variables>

/**
 * Reads the settings from environment variables; an empty one counts as absent.
 *
 * @throws PlanstreamError `bad_request`, with a line for each setting that is wrong, under its name
 */
export function parseSettings(env: NodeJS.ProcessEnv): Settings {
	const parsed = variables.safeParse(Object.fromEntries(Object.entries(env).filter(([, text]) => text !== '')))
	if (parsed.success) return parsed.data
	const lines = parsed.error.issues.map(({ path, message }) => {
		const name = String(path[0])
		return `${name} ${message}, but is "${env[name] ?? ''}".`
	})
	throw new PlanstreamError('bad_request', lines.join('\n'), { settings: parsed.error.issues.map(({ path }) => String(path[0])) })
}
