import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { addCompletionCommands } from './commands/completion.js'
import { addDataCommands } from './commands/data.js'
import { type DemoOptions, demoCommand } from './commands/demo.js'
import { type ConformanceCommandOptions, conformanceCommand, type GenerateOptions, generateCommand } from './commands/generate.js'
import { addKeyCommands } from './commands/keys.js'
import { addPlanCommands } from './commands/plan-commands.js'
import { type PublishOptions, publishCommand } from './commands/publish.js'
import { addResultCommands } from './commands/result.js'
import { type RunOptions, runCommand, type WatchOptions, watchCommand } from './commands/watch.js'
import { createUrlOption } from './connection.js'
import { EXIT, type ExitCode } from './exit.js'

const EXIT_CODES = `
A <plan_id> is the id of a plan, the start of one that no other id has, or "last" for the newest plan.
Output is drawn in a terminal and plain in a pipe; --json prints JSON, one event, plan or answer per line.
Messages for people go to standard error. NO_COLOR, FORCE_COLOR and TERM=dumb are honoured.

Exit codes: 0 success, 1 the plan failed, was cancelled or is damaged, 2 wrong usage, bad input or no server,
70 serve met an error that nothing caught, 130 stopped by Ctrl-C.`

/** Commands by the headings of the help. */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
	'Run and follow:': ['serve', 'demo', 'run', 'watch', 'publish'],
	'Look:': ['list', 'show', 'result', 'artifact'],
	'Steer:': ['start', 'pause', 'resume', 'cancel', 'retry', 'skip', 'review', 'modify', 'clone'],
	'Keep:': ['verify', 'export', 'import', 'clear', 'delete', 'compact'],
}

const JSON_FLAG = ['--json', 'print one JSON event per line'] as const

/** Creates the command line; each action passes its exit code to `exit`. */
export function createProgram(exit: (code: ExitCode) => void): Command {
	const planstream = new Command('planstream')
		.description('Runs plans with your agents and streams every event of every plan to everyone who watches.')
		.version(readVersion())
		.addHelpText('after', EXIT_CODES)
		.exitOverride()
	planstream
		.command('serve')
		.description('run the server; HOST, PORT and PLANSTREAM_DATA configure it')
		.action(async () => {
			const { serve } = await import('@planstream/server')
			await serve(process.env)
			exit(EXIT.done)
		})
	planstream
		.command('demo')
		.description('start a server and run a real plan on it: research over a folder of documents')
		.option('--corpus <folder>', "folder of documents (default: the project's own docs)")
		.option('--question <text>', 'question to research; may be repeated', (text, before: string[] = []) => [...before, text])
		.option('--exit', 'exit when the plan ends instead of serving on')
		.option(...JSON_FLAG)
		.action(async (options: DemoOptions) => exit(await demoCommand(options)))
	planstream
		.command('run')
		.description('create a plan and follow it to its end')
		.argument('<plan.json>', 'file with the plan, or - for standard input')
		.addOption(createUrlOption())
		.option(...JSON_FLAG)
		.action(async (file: string, options: RunOptions) => exit(await runCommand(file, options)))
	planstream
		.command('watch')
		.description('follow a plan from its start to its end; one that does not exist yet is waited for')
		.argument('<plan_id>')
		.addOption(createUrlOption())
		.option(...JSON_FLAG)
		.option('--after <cursor>', 'only events after this cursor or number, or "now"')
		.option('--follow', 'keep watching after the plan ends: a failed one can be retried')
		.action(async (plan_id: string, options: WatchOptions) => exit(await watchCommand(plan_id, options)))
	planstream
		.command('publish')
		.description('publish events for an external plan')
		.argument('<plan_id>')
		.argument('[file]', 'events as JSON lines or as one JSON array, or - for standard input', '-')
		.addOption(createUrlOption())
		.option('--json', 'print one JSON receipt per event')
		.action(async (plan_id: string, file: string, options: PublishOptions) => exit(await publishCommand(plan_id, file, options)))
	addPlanCommands(planstream, exit)
	addResultCommands(planstream, exit)
	addDataCommands(planstream, exit)
	planstream.commandsGroup('Set up:')
	addKeyCommands(planstream, exit)
	addCompletionCommands(planstream, exit)
	planstream
		.command('generate')
		.description('generate an SDK with the types of your agents')
		.requiredOption('--agents <module>', 'JavaScript module that exports them as a list named agents')
		.requiredOption('--out <folder>', 'folder to write index.ts to')
		.action(async (options: GenerateOptions) => exit(await generateCommand(options)))
	planstream
		.command('conformance')
		.description('test whether a server implements the protocol; creates plans on it')
		.addOption(createUrlOption())
		.action(async (options: ConformanceCommandOptions) => exit(await conformanceCommand(options)))
	for (const [heading, names] of Object.entries(GROUPS)) {
		for (const command of planstream.commands) if (names.includes(command.name())) command.helpGroup(heading)
	}
	return planstream
}

function readVersion(): string {
	const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
	return version
}
