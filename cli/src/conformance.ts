import { serverNamed } from './connection.js'
import { EXIT, type ExitCode } from './failure.js'
import { writeLine } from './output.js'

export interface ConformanceCommandOptions {
	readonly url?: string
}

/** `planstream conformance`: whether a server speaks the protocol, a line for each behaviour, as TAP has it. */
export async function conformanceCommand({ url }: ConformanceCommandOptions): Promise<ExitCode> {
	const { conformanceCases } = await import('@planstream/server/testing')
	const cases = conformanceCases(await serverNamed(url))
	let failed = 0
	for (const [at, { name, run }] of cases.entries()) {
		const reason = await run().then(
			() => null,
			(error: unknown) => (error instanceof Error ? error.message : String(error)),
		)
		await writeLine(`${reason === null ? 'ok' : 'not ok'} ${at + 1} - ${name}`)
		if (reason === null) continue
		failed += 1
		for (const line of reason.split('\n')) await writeLine(`  # ${line}`)
	}
	await writeLine(`1..${cases.length}`)
	return failed === 0 ? EXIT.done : EXIT.planFailed
}
