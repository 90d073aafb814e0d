import { destination, type LevelWithSilent, type Logger, pino } from 'pino'

export type { Logger }

export const LOG_LEVELS = [
	'fatal',
	'error',
	'warn',
	'info',
	'debug',
	'trace',
	'silent',
] as const satisfies readonly LevelWithSilent[]
export type LogLevel = (typeof LOG_LEVELS)[number]

const STDERR = 2

/**
 * Logs one JSON object per line to standard error; standard output is left to program output. Entries name plans, routes and
 * failures, never bodies or credentials.
 */
export function createLogger(level: LogLevel): Logger {
	return pino(
		{ level, base: null, timestamp: () => `,"time":"${new Date().toISOString()}"` },
		destination({ dest: STDERR, sync: true }),
	)
}
