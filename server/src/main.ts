import { PlanstreamError } from '@planstream/shared'
import { openAiCompatibleAgent } from './agents/openai-compatible/openai-compatible-agent.js'
import { protectDataDirectory } from './embed/data-mode.js'
import { createLogger } from './ops/logger.js'
import type { Agent } from './plans/agent.js'
import { type RunningServer, startServer } from './server.js'
import { parseSettings, type Settings } from './settings.js'

/**
 * Creates the agents that the settings configure in addition to the built-in ones.
 *
 * @throws PlanstreamError `bad_request` when the environment variable of the key is not set
 */
export function createConfiguredAgents(settings: Settings, env: NodeJS.ProcessEnv): Agent[] {
	const {
		PLANSTREAM_OPENAI_BASE_URL: baseUrl,
		PLANSTREAM_OPENAI_API_KEY_ENV: apiKeyEnv,
		PLANSTREAM_OPENAI_MODEL: model,
	} = settings
	if (baseUrl === undefined || settings.PLANSTREAM_AGENTS?.includes('openai') === false) return []
	return [
		openAiCompatibleAgent(
			{ baseUrl, ...(apiKeyEnv !== undefined && { apiKeyEnv }), ...(model !== undefined && { model }) },
			{ env },
		),
	]
}

const BAD_SETTINGS = 2
const CANNOT_START = 1
/** EX_SOFTWARE of sysexits.h. */
const UNCAUGHT = 70
/** Time for an orderly end after an error that nothing caught: longer than a shutdown may take. */
const UNCAUGHT_DEADLINE_MS = 15_000
/** A terminal sends Ctrl-C to npm and to this process, and npm forwards it: a repeat this soon is the same Ctrl-C. */
const SAME_SIGNAL_MS = 300
/** Exit codes that a shell reports for a process ended by a signal. */
const SIGNAL_EXIT = { SIGINT: 130, SIGTERM: 143 } as const

/**
 * Runs `planstream serve` until a signal stops it. Standard output gets one line, when the server is ready; everything else goes
 * to standard error. SIGTERM and SIGINT shut the server down gracefully, a second one ends the process at once; SIGHUP reloads the
 * files of keys and limits. An error that nothing caught is logged, shuts the server down and ends the process with exit code 70.
 *
 * @param env - settings as environment variables; an invalid one is reported by name and ends the process with exit code 2
 */
export async function serve(env: NodeJS.ProcessEnv): Promise<void> {
	const uncaught = handleUncaught()
	let reload: RunningServer['reload'] = () => Promise.resolve()
	// Without a listener this signal ends the process, also while it starts.
	process.on('SIGHUP', () => void reload())
	// The worker thread of the database has the same mask.
	process.umask(0o077)
	const { settings, agents } = readSettings(env)
	await protectData(settings)
	const server = await startWithSettings(settings, agents)
	uncaught.server = server
	reload = () => server.reload()
	// Whoever reads the line may stop the server at once.
	const stopped = waitForShutdown(server)
	process.stdout.write(`planstream listening on ${server.url}\n`)
	await stopped
	process.exit()
}

/**
 * Handles errors that nothing caught from now on. The state of the process is unknown after one, so it must not serve on, but what is
 * durable and what clients are told can still be put in order.
 */
function handleUncaught(): { server: RunningServer | null } {
	const held: { server: RunningServer | null } = { server: null }
	const handle = (thrown: unknown): void => {
		if (held.server === null) {
			process.stderr.write(`${thrown instanceof Error ? thrown.stack : String(thrown)}\n`)
			process.exit(UNCAUGHT)
		}
		const exit = (): never => process.exit(UNCAUGHT)
		setTimeout(exit, UNCAUGHT_DEADLINE_MS).unref()
		held.server.fail(thrown).then(exit, exit)
	}
	process.on('uncaughtException', handle)
	process.on('unhandledRejection', handle)
	return held
}

function readSettings(env: NodeJS.ProcessEnv): { readonly settings: Settings; readonly agents: readonly Agent[] } {
	try {
		const settings = parseSettings(env)
		return { settings, agents: createConfiguredAgents(settings, env) }
	} catch (error) {
		return exitWith(error, BAD_SETTINGS)
	}
}

async function protectData({ PLANSTREAM_DATA, PLANSTREAM_DATA_MODE, LOG_LEVEL }: Settings): Promise<void> {
	const logger = createLogger(LOG_LEVEL)
	try {
		const anyMode = PLANSTREAM_DATA_MODE === 'any'
		await protectDataDirectory(PLANSTREAM_DATA, { anyMode, warn: (message) => logger.warn(message) })
	} catch (error) {
		exitWith(error, BAD_SETTINGS)
	}
}

async function startWithSettings(settings: Settings, agents: readonly Agent[]): Promise<RunningServer> {
	const logger = createLogger(settings.LOG_LEVEL)
	logger.info({ settings }, 'The server is starting.')
	try {
		return await startServer({
			host: settings.HOST,
			port: settings.PORT,
			apiKeys: settings.PLANSTREAM_API_KEYS,
			origins: settings.PLANSTREAM_ORIGINS,
			limits: settings.PLANSTREAM_LIMITS,
			docs: settings.PLANSTREAM_DOCS,
			trustedProxies: settings.PLANSTREAM_TRUSTED_PROXIES,
			allowOldNode: settings.PLANSTREAM_OLD_NODE,
			store: { kind: 'sqlite', directory: settings.PLANSTREAM_DATA },
			anyDataMode: settings.PLANSTREAM_DATA_MODE === 'any',
			archiveTrust: settings.PLANSTREAM_ARCHIVE_TRUST,
			agents,
			localToken: settings.PLANSTREAM_LOCAL_TOKEN === 'on',
			corpusRoots: settings.PLANSTREAM_CORPUS_ROOTS,
			corpusAgents: settings.PLANSTREAM_AGENTS?.includes('corpus'),
			scripted: settings.PLANSTREAM_SCRIPTED,
			pingIntervalMs: settings.WEBSOCKET_PING_INTERVAL * 1000,
			compression: settings.PLANSTREAM_COMPRESSION,
			keepAliveMs: settings.PLANSTREAM_KEEP_ALIVE * 1000,
			maxConnections: settings.MAX_WEBSOCKET_CLIENTS,
			logger,
		})
	} catch (error) {
		return exitWith(error, CANNOT_START)
	}
}

/** Prints why the server cannot start and ends the process; unexpected errors are rethrown with their stack. */
function exitWith(error: unknown, code: number): never {
	if (!(error instanceof PlanstreamError)) throw error
	process.stderr.write(`${error.message}\n`)
	process.exit(code)
}

/** Resolves when a signal has arrived and the server has stopped. */
function waitForShutdown(server: RunningServer): Promise<void> {
	return new Promise((resolve, reject) => {
		let since = Number.POSITIVE_INFINITY
		const stop = (signal: keyof typeof SIGNAL_EXIT): void => {
			if (Date.now() - since > SAME_SIGNAL_MS) process.exit(SIGNAL_EXIT[signal])
			since = Math.min(since, Date.now())
			server.close().then(resolve, reject)
		}
		process.on('SIGTERM', stop)
		process.on('SIGINT', stop)
	})
}
