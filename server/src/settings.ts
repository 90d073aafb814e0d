import path from 'node:path'
import { PlanstreamError } from '@planstream/shared'
import * as z from 'zod'
import { isBaseUrl } from './agents/openai-compatible/openai-compatible-agent.js'
import { DOCS_ACCESS } from './api/descriptions.js'
import { isArchiveKey } from './auth/archive-keys.js'
import { isLoopback, LOOPBACK_HOSTS } from './auth/authenticator.js'
import { isNetwork } from './connections/anonymous.js'
import { isOrigin } from './embed/options.js'
import { LOG_LEVELS } from './ops/logger.js'

/** Parses digits as a number within bounds; the message names the bounds. */
function wholeNumber(minimum: number, maximum: number, what: string) {
	const message = `must be ${what}, a whole number from ${minimum} to ${maximum}`
	return z
		.string()
		.regex(/^\d+$/, message)
		.transform(Number)
		.refine((value) => value >= minimum && value <= maximum, message)
}

/** Groups of built-in agents that a server may have; `none` stands for no group. */
const BUILT_IN_AGENTS = ['corpus', 'openai', 'none'] as const

const variables = z.object({
	HOST: z.string().default('127.0.0.1'),
	PORT: wholeNumber(0, 65_535, 'the port to listen on (0 picks a free one)').default(3000),
	PLANSTREAM_API_KEYS: z.string().optional(),
	PLANSTREAM_ORIGINS: z
		.string()
		.transform((text) => text.split(',').map((origin) => origin.trim()))
		.refine((origins) => origins.every(isOrigin), 'must be comma-separated origins such as https://app.example.com')
		.optional(),
	PLANSTREAM_LIMITS: z.string().optional(),
	PLANSTREAM_DOCS: z.enum(DOCS_ACCESS, { error: `must be one of ${DOCS_ACCESS.join(', ')}` }).default('public'),
	PLANSTREAM_TRUSTED_PROXIES: z
		.string()
		.transform((text) => text.split(',').map((network) => network.trim()))
		.refine((networks) => networks.every(isNetwork), 'must be networks such as 10.0.0.0/8 or addresses, with commas between')
		.optional(),
	PLANSTREAM_OLD_NODE: z
		.enum(['0', '1'], { error: 'must be 1 to listen beyond this machine on a Node without security fixes, or 0' })
		.default('0')
		.transform((text) => text === '1'),
	PLANSTREAM_DATA: z.string().default('.planstream'),
	PLANSTREAM_LOCAL_TOKEN: z
		.enum(['on', 'off'], { error: 'must be off to give the command line on this machine no token of its own, or on' })
		.default('on'),
	PLANSTREAM_DATA_MODE: z
		.enum(['any'], { error: 'must be any to take a data directory of any owner and mode, or absent' })
		.optional(),
	PLANSTREAM_ARCHIVE_TRUST: z
		.string()
		.transform((text) => text.split(',').map((key) => key.trim()))
		.refine((keys) => keys.every(isArchiveKey), 'must be what `planstream keys archive` prints, with commas between')
		.optional(),
	PLANSTREAM_CORPUS_ROOTS: z
		.string()
		.transform((text) => text.split(path.delimiter).map((folder) => folder.trim()))
		.refine((folders) => folders.every((folder) => folder !== ''), 'must be folders, or builtin, with colons between')
		.optional(),
	PLANSTREAM_AGENTS: z
		.string()
		.transform((text) => text.split(',').map((name) => name.trim()))
		.pipe(z.array(z.enum(BUILT_IN_AGENTS, { error: 'must be corpus, openai or both, with a comma between, or none' })))
		.refine((names) => names.length === 1 || !names.includes('none'), 'must be none alone, or names of built-in agents')
		.optional(),
	PLANSTREAM_SCRIPTED: z
		.enum(['0', '1'], { error: 'must be 1 to offer the scripted agent, or 0' })
		.default('0')
		.transform((text) => text === '1'),
	PLANSTREAM_OPENAI_BASE_URL: z
		.string()
		.refine(isBaseUrl, 'must be an http or https URL without user, query or fragment, such as https://api.openai.com/v1')
		.optional(),
	PLANSTREAM_OPENAI_API_KEY_ENV: z.string().optional(),
	PLANSTREAM_OPENAI_MODEL: z.string().optional(),
	PLANSTREAM_COMPRESSION: z
		.enum(['0', '1'], { error: 'must be 1 to compress streams for clients that ask for it, or 0' })
		.default('0')
		.transform((text) => text === '1'),
	PLANSTREAM_KEEP_ALIVE: wholeNumber(1, 3600, 'the seconds that a connection may be idle').default(72),
	WEBSOCKET_PING_INTERVAL: wholeNumber(1, 86_400, 'the seconds between two pings').default(30),
	MAX_WEBSOCKET_CLIENTS: wholeNumber(1, 1_000_000, 'the maximum number of connections').default(10_000),
	LOG_LEVEL: z.enum(LOG_LEVELS, { error: `must be one of ${LOG_LEVELS.join(', ')}` }).default('info'),
})

/** Lists the names of all settings. */
export function listSettings(): string[] {
	return Object.keys(variables.shape)
}

/** Server settings from the environment. */
export type Settings = z.output<typeof variables>

/**
 * Reads the settings from environment variables; an empty one counts as absent.
 *
 * @throws PlanstreamError `bad_request`, with one line for each invalid setting, starting with its name
 */
export function parseSettings(env: NodeJS.ProcessEnv): Settings {
	const given = Object.fromEntries(Object.entries(env).filter(([, text]) => text !== ''))
	const parsed = variables.safeParse(given)
	const contradictions = findContradictions(given)
	if (parsed.success && contradictions.length === 0) return parsed.data
	const wrong = [...findMalformed(parsed.error), ...contradictions]
	const lines = wrong.map(({ name, message }) => `${name} ${message}, but is "${env[name] ?? ''}".`)
	throw new PlanstreamError('bad_request', lines.join('\n'), { settings: wrong.map(({ name }) => name) })
}

/** Lists each malformed setting once: older versions of zod go on to further rules after the first that was broken. */
function findMalformed(error: z.ZodError | undefined): Wrong[] {
	const first = new Map<string, Wrong>()
	for (const { path, message } of error?.issues ?? []) {
		const name = String(path[0])
		if (!first.has(name)) first.set(name, { name, message })
	}
	return [...first.values()]
}

interface Wrong {
	readonly name: string
	readonly message: string
}

/** Finds settings that contradict each other, even when single ones are invalid, so that one attempt reports all problems. */
function findContradictions(given: NodeJS.ProcessEnv): Wrong[] {
	const wrong: Wrong[] = []
	for (const name of ['PLANSTREAM_OPENAI_API_KEY_ENV', 'PLANSTREAM_OPENAI_MODEL']) {
		if (given[name] === undefined || given.PLANSTREAM_OPENAI_BASE_URL !== undefined) continue
		wrong.push({ name, message: 'must be absent unless PLANSTREAM_OPENAI_BASE_URL names a model server' })
	}
	if (/\bopenai\b/.test(given.PLANSTREAM_AGENTS ?? '') && given.PLANSTREAM_OPENAI_BASE_URL === undefined)
		wrong.push({
			name: 'PLANSTREAM_AGENTS',
			message: 'must not name openai unless PLANSTREAM_OPENAI_BASE_URL names a model server',
		})
	const { HOST, PLANSTREAM_API_KEYS, PLANSTREAM_ORIGINS } = given
	if (PLANSTREAM_API_KEYS !== undefined) return wrong
	const unless =
		'unless PLANSTREAM_API_KEYS names a key file: without keys this server only accepts requests from its own machine'
	if (HOST !== undefined && !isLoopback(HOST))
		wrong.push({ name: 'HOST', message: `must be one of ${LOOPBACK_HOSTS.join(', ')} ${unless}` })
	if (given.PLANSTREAM_TRUSTED_PROXIES !== undefined)
		wrong.push({ name: 'PLANSTREAM_TRUSTED_PROXIES', message: `must be absent ${unless}` })
	if (PLANSTREAM_ORIGINS !== undefined) wrong.push({ name: 'PLANSTREAM_ORIGINS', message: `must be absent ${unless}` })
	return wrong
}
