import { EXIT, type ExitCode } from '../exit.js'

/** `planstream serve`: the server, until it is stopped. */
export async function serveCommand(): Promise<ExitCode> {
	const { serve } = await import('@planstream/server')
	await serve(process.env)
	return EXIT.done
}
