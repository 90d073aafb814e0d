import { PlanstreamError } from '@planstream/shared'
import { note } from './output.js'

/** A server for the demonstration, and the directory it keeps its files in. */
export async function startDemoServer(env: NodeJS.ProcessEnv) {
	const { createLogger, parseSettings, startServer } = await import('@planstream/server')
	const settings = parseSettings({ LOG_LEVEL: 'error', ...env })
	const store = { kind: 'sqlite', directory: settings.PLANSTREAM_DATA } as const
	const { HOST: host, PLANSTREAM_API_KEYS: apiKeys, PLANSTREAM_ORIGINS: origins } = settings
	const start = (port: number) => startServer({ host, port, apiKeys, origins, store, logger: createLogger(settings.LOG_LEVEL) })
	const server = await start(settings.PORT).catch((error: unknown) => {
		const wanted = env.PORT !== undefined && env.PORT !== ''
		if (wanted || !(error instanceof PlanstreamError) || error.code !== 'conflict') throw error
		note(`Port ${settings.PORT} is taken, so the demonstration takes a free one.`)
		return start(0)
	})
	return { server, directory: store.directory }
}
