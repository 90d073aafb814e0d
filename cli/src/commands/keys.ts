import { SCOPES } from '@planstream/shared/schemas'
import { type Command, Option } from 'commander'
import { assertChoice } from '../choices.js'
import { DEFAULT_DATA } from '../connection.js'
import { EXIT, type ExitCode } from '../exit.js'
import { note, writeLine } from '../output.js'

/** Adds commands that create and revoke keys; each action passes its exit code to `exit`. */
export function addKeyCommands(planstream: Command, exit: (code: ExitCode) => void): void {
	const keys = planstream.command('keys').description('create and revoke API keys')
	const file = () => new Option('--file <file>', 'key file').env('PLANSTREAM_API_KEYS').makeOptionMandatory()
	keys
		.command('create')
		.description('create a key, print it once and add its hash to the key file')
		.requiredOption('--tenant <name>', 'tenant whose plans the key can access')
		.requiredOption('--scopes <list>', `comma-separated scopes: ${SCOPES.join(', ')}`, (text) => parseScopes(text))
		.option('--id <name>', 'id of the key in events and logs (default: random)')
		.option('--expires-at <time>', 'expiry time, such as 2030-01-31T00:00:00Z')
		.addOption(file())
		.action(async (options: CreateKeyOptions) => exit(await createKeyCommand(options)))
	keys
		.command('archive')
		.description(
			'print the public key that signs the exports of a data directory, for PLANSTREAM_ARCHIVE_TRUST of another server',
		)
		.addOption(new Option('--data <directory>', `data directory (default: ${DEFAULT_DATA})`).env('PLANSTREAM_DATA'))
		.action(async ({ data }: { readonly data?: string }) => exit(await printArchiveKeyCommand(data || DEFAULT_DATA)))
	keys
		.command('revoke')
		.description('remove a key from the key file')
		.argument('<id>')
		.addOption(file())
		.action(async (id: string, options: KeysOptions) => exit(await revokeKeyCommand(id, options)))
}

function parseScopes(text: string): string[] {
	const scopes = text.split(',')
	for (const scope of scopes) assertChoice(scope, SCOPES)
	return scopes
}

/** Options of every key command. */
interface KeysOptions {
	readonly file: string
}

interface CreateKeyOptions extends KeysOptions {
	readonly tenant: string
	readonly scopes: readonly string[]
	readonly id?: string
	readonly expiresAt?: string
}

/** `planstream keys create`: prints a new key and adds its hash to the file. */
async function createKeyCommand({ file, tenant, scopes, id, expiresAt }: CreateKeyOptions): Promise<ExitCode> {
	const { createKey } = await import('@planstream/server')
	const key = await createKey(file, { id, tenant, scopes, expires_at: expiresAt })
	await writeLine(key)
	note(`The key is shown only once; ${file} holds its hash. A server that uses the file accepts the key within a second.`)
	return EXIT.done
}

/** `planstream keys revoke`: removes a key from the file by its id. */
async function revokeKeyCommand(id: string, { file }: KeysOptions): Promise<ExitCode> {
	const { revokeKey } = await import('@planstream/server')
	await revokeKey(file, id)
	note(`The key ${id} is revoked. A server that uses the file closes its connections within a second.`)
	return EXIT.done
}

/** `planstream keys archive`: prints a public key, which is made if there is none. */
async function printArchiveKeyCommand(directory: string): Promise<ExitCode> {
	const { readArchiveKeyId } = await import('@planstream/server')
	await writeLine(await readArchiveKeyId(directory, process.env.PLANSTREAM_DATA_MODE === 'any'))
	return EXIT.done
}
