import { type ClearOutput, type DeleteOutput, type ImportOutput, SYSTEM_PLAN_ID, type VerifyOutput } from '@planstream/shared'
import { type Command, Option } from 'commander'
import { DEFAULT_DATA } from '../connection.js'
import { EXIT, type ExitCode, UsageError } from '../exit.js'
import { type Input, openInput, readText } from '../input.js'
import { note, paint, writeBytes, writeLine } from '../output.js'
import { findPlanId } from '../plan-ids.js'
import { addLocationOptions, openPlans, type PlanLocation, type Plans } from '../plans.js'
import { formatBytes, toOneLine } from '../text.js'

/** Start of the first line of each plan. */
const HEAD = '{"planstream_archive"'

/**
 * Splits an input into plans, each as its lines; read a plan to its end before the next.
 *
 * @throws UsageError when the input cannot be read or is not UTF-8
 */
async function* splitArchives(input: Input): AsyncGenerator<AsyncIterable<Uint8Array>, void, void> {
	const lines = splitLines(input)
	let next = await lines.next()
	async function* plan(): AsyncGenerator<Uint8Array, void, void> {
		do {
			if (next.done === true) return
			yield Buffer.from(`${next.value}\n`)
			next = await lines.next()
		} while (next.done === true || !next.value.startsWith(HEAD))
	}
	while (next.done !== true) yield plan()
}

async function* splitLines(input: Input): AsyncGenerator<string, void, void> {
	let rest: string[] = []
	for await (const text of readText(input)) {
		const lines = text.split('\n')
		const last = lines.pop() ?? ''
		for (const line of lines) {
			rest.push(line)
			const whole = rest.join('')
			rest = []
			if (whole !== '') yield whole
		}
		rest.push(last)
	}
	if (rest.join('') !== '') yield rest.join('')
}

const PAGE = 1000

interface CompactOptions {
	readonly data?: string
	readonly json?: boolean
}

interface JsonOption {
	readonly json?: boolean
}

/** Adds commands that verify, copy and delete plans, with or without a server; each action passes its exit code to `exit`. */
export function addDataCommands(planstream: Command, exit: (code: ExitCode) => void): void {
	const command = (name: string, description: string): Command =>
		addLocationOptions(planstream.command(name).description(description))
	command('verify', 'check every stored event against its fingerprint')
		.argument('[plan_id...]', 'only these plans')
		.option('--json', 'print each answer as one line of JSON')
		.action(async (plan_ids: string[], options: PlanLocation & JsonOption) => exit(await verifyCommand(plan_ids, options)))
	command('export', 'write plans as JSON lines to standard output')
		.argument('[plan_id...]', 'only these plans')
		.action(async (plan_ids: string[], options: PlanLocation) => exit(await exportCommand(plan_ids, options)))
	command('clear', 'delete the events of finished plans but keep their states and results')
		.argument('<plan_id...>')
		.option('--json', 'print each answer as one line of JSON')
		.action(async (plan_ids: string[], options: PlanLocation & JsonOption) => exit(await clearCommand(plan_ids, options)))
	command('delete', 'delete finished plans with all their events')
		.argument('<plan_id...>')
		.option('--json', 'print each answer as one line of JSON')
		.action(async (plan_ids: string[], options: PlanLocation & JsonOption) => exit(await deleteCommand(plan_ids, options)))
	planstream
		.command('compact')
		.description('make the database file as small as what is in it; no server may have it open')
		.addOption(new Option('--data <directory>', `data directory (default: ${DEFAULT_DATA})`).env('PLANSTREAM_DATA'))
		.option('--json', 'print the sizes before and after as JSON')
		.action(async (options: CompactOptions) => exit(await compactCommand(options)))
	command('import', 'create plans from the output of export')
		.argument('[file]', 'JSON lines, or - for standard input', '-')
		.option('--json', 'print each answer as one line of JSON')
		.action(async (file: string, options: PlanLocation & JsonOption) => exit(await importCommand(file, options)))
}

/** `planstream compact`: returns the space of deleted events to the file system, and says how much. */
async function compactCommand({ data: named, json = false }: CompactOptions): Promise<ExitCode> {
	const data = named || DEFAULT_DATA
	const { findServer } = await import('@planstream/server/local')
	const server = await findServer(data)
	if (server !== null) {
		throw new UsageError(`The server at ${server.url} has ${data} open. Stop it, compact, and start it again.`)
	}
	const { compactDirectory } = await import('@planstream/server')
	const compacted = compactDirectory(data)
	if (compacted === null) throw new UsageError(`${data} holds no plans. Give the data directory of a server with --data.`)
	const { bytes_before, bytes_after } = compacted
	await writeLine(
		json
			? JSON.stringify(compacted)
			: `The database had ${formatBytes(bytes_before)} (${bytes_before} bytes) and now has ${formatBytes(bytes_after)} (${bytes_after} bytes).`,
	)
	return EXIT.done
}

/** `planstream verify`: exit code 1 when a plan is damaged. */
async function verifyCommand(
	plan_ids: readonly string[],
	{ json = false, ...place }: PlanLocation & JsonOption,
): Promise<ExitCode> {
	await using plans = await openPlans(place)
	const verify = async (plan_id: string): Promise<VerifyOutput> => {
		const verified = await plans.verify(plan_id)
		if (plan_id !== SYSTEM_PLAN_ID || !verified.ok) await writeLine(json ? JSON.stringify(verified) : formatVerdict(verified))
		return verified
	}
	// The store may have lost plans even if none is left.
	const lost = plan_ids.length === 0 && !(await verify(SYSTEM_PLAN_ID)).ok
	let damaged = 0
	let checked = 0
	for await (const plan_id of listPlanIds(plans, plan_ids)) {
		checked += 1
		if (!(await verify(plan_id)).ok) damaged += 1
	}
	note(damaged === 0 ? `${checked} plans are intact.` : `${damaged} of ${checked} plans are damaged.`)
	return damaged === 0 && !lost ? EXIT.done : EXIT.planFailed
}

function formatVerdict({ plan_id, ok, events, fault }: VerifyOutput): string {
	return `${paint(ok ? 'green' : 'red', ok ? 'ok     ' : 'damaged')}  ${toOneLine(plan_id)}  ${fault?.detail ?? `${events} events`}`
}

/** `planstream export`: writes all plans, or the named ones. */
async function exportCommand(plan_ids: readonly string[], place: PlanLocation): Promise<ExitCode> {
	await using plans = await openPlans(place)
	for await (const plan_id of listPlanIds(plans, plan_ids)) {
		for await (const bytes of plans.export(plan_id)) await writeBytes(bytes)
	}
	return EXIT.done
}

/** `planstream clear` */
function clearCommand(plan_ids: readonly string[], options: PlanLocation & JsonOption): Promise<ExitCode> {
	const describe = ({ plan_id, cleared }: ClearOutput) =>
		`Cleared ${cleared} events of plan ${toOneLine(plan_id)}; its state is kept.`
	return applyToEach(plan_ids, options, (plans, plan_id) => plans.clear(plan_id), describe)
}

/** `planstream delete` */
function deleteCommand(plan_ids: readonly string[], options: PlanLocation & JsonOption): Promise<ExitCode> {
	const describe = ({ plan_id }: DeleteOutput) => `Deleted plan ${toOneLine(plan_id)} and its events.`
	return applyToEach(plan_ids, options, (plans, plan_id) => plans.delete(plan_id), describe)
}

/** Processes plans one after the other and stops at the first refusal. */
async function applyToEach<Answer>(
	plan_ids: readonly string[],
	{ json = false, ...place }: PlanLocation & JsonOption,
	ask: (plans: Plans, plan_id: string) => Promise<Answer>,
	describe: (answer: Answer) => string,
): Promise<ExitCode> {
	await using plans = await openPlans(place)
	for (const plan_id of await findAll(plans, plan_ids)) {
		const answer = await ask(plans, plan_id)
		await writeLine(json ? JSON.stringify(answer) : describe(answer))
	}
	return EXIT.done
}

/** `planstream import`: imports each plan completely or not at all and stops at the first refusal. */
async function importCommand(file: string, { json = false, ...place }: PlanLocation & JsonOption): Promise<ExitCode> {
	await using plans = await openPlans(place, { make: true })
	let made = 0
	for await (const lines of splitArchives(openInput(file))) {
		const imported = await plans.import(lines)
		await writeLine(json ? JSON.stringify(imported) : formatReceipt(imported))
		made += 1
	}
	if (made === 0) note('The input contains no plans; nothing was imported.')
	return EXIT.done
}

/** Servers of before do not say whether an archive was signed. */
function formatReceipt({ plan_id, events, head_seq, signed }: ImportOutput): string {
	const trust = signed === false ? '  not signed by a trusted key' : ''
	return `${toOneLine(plan_id)}  ${events} events up to number ${head_seq}${trust}`
}

/** Finds every plan before anything is done to the first one. */
async function findAll(plans: Plans, texts: readonly string[]): Promise<string[]> {
	const found: string[] = []
	for (const text of texts) found.push(await findPlanId(plans, text))
	return found
}

async function* listPlanIds(plans: Plans, plan_ids: readonly string[]): AsyncGenerator<string, void, void> {
	if (plan_ids.length > 0) {
		yield* await findAll(plans, plan_ids)
		return
	}
	let page: string | null = null
	do {
		const found = await plans.list({ limit: PAGE, ...(page !== null && { page }) })
		for (const { plan_id } of found.plans) yield plan_id
		page = found.next_page
	} while (page !== null)
}
