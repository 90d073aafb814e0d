import { type Command, Option } from 'commander'
import { EXIT, type ExitCode } from '../exit.js'
import { note, writeLine } from '../output.js'

/** The commands that make and revoke keys; each action hands its exit code to `exit`. */
export function addKeyCommands(planstream: Command, exit: (code: ExitCode) => void): void {
	const keys = planstream.command('keys').description('make and revoke the keys that let clients in')
	const file = () => new Option('--file <file>', 'the file of keys').env('PLANSTREAM_API_KEYS').makeOptionMandatory()
	keys
		.command('create')
		.description('print a new key, once, and add its hash to the file')
		.requiredOption('--tenant <name>', 'whose plans the key is for')
		.requiredOption('--scopes <list>', 'what it may do: plans:read, plans:write, events:publish, admin', (text) =>
			text.split(','),
		)
		.option('--id <name>', 'what events and logs call the key (default: made at random)')
		.option('--expires-at <time>', 'when it ends, as 2030-01-31T00:00:00Z')
		.addOption(file())
		.action(async (options: CreateKeyOptions) => exit(await createKeyCommand(options)))
	keys
		.command('revoke')
		.description('take a key out of the file')
		.argument('<id>')
		.addOption(file())
		.action(async (id: string, options: KeysOptions) => exit(await revokeKeyCommand(id, options)))
}

/** Which file of keys. */
interface KeysOptions {
	readonly file: string
}

interface CreateKeyOptions extends KeysOptions {
	readonly tenant: string
	readonly scopes: readonly string[]
	readonly id?: string
	readonly expiresAt?: string
}

/** `planstream keys create`: a new key on standard output, its hash into the file. */
async function createKeyCommand({ file, tenant, scopes, id, expiresAt }: CreateKeyOptions): Promise<ExitCode> {
	const { createKey } = await import('@planstream/server')
	const key = await createKey(file, { id, tenant, scopes, expires_at: expiresAt })
	await writeLine(key)
	note(
		`This is the only time the key is shown; ${file} holds its hash. A server that uses the file takes the key within a second.`,
	)
	return EXIT.done
}

/** `planstream keys revoke`: takes a key out of the file, by its id. */
async function revokeKeyCommand(id: string, { file }: KeysOptions): Promise<ExitCode> {
	const { revokeKey } = await import('@planstream/server')
	await revokeKey(file, id)
	note(`The key ${id} is revoked. A server that uses the file ends what it has open within a second.`)
	return EXIT.done
}
