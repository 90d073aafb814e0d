import { type ClearOutput, type DeleteOutput, type ImportOutput, SYSTEM_PLAN_ID, type VerifyOutput } from '@planstream/shared'
import type { Command } from 'commander'
import { EXIT, type ExitCode } from '../exit.js'
import { type Input, openInput, readText } from '../input.js'
import { note, paint, wantsJson, writeBytes, writeLine } from '../output.js'
import { addLocationOptions, openPlans, type PlanLocation, type Plans } from '../plans.js'
import { toOneLine } from '../text.js'

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

interface JsonOption {
	readonly json?: boolean
}

/** Adds commands that verify, copy and delete plans, with or without a server; each action passes its exit code to `exit`. */
export function addDataCommands(planstream: Command, exit: (code: ExitCode) => void): void {
	const command = (name: string, description: string): Command =>
		addLocationOptions(planstream.command(name).description(description))
	command('verify', 'check every stored event against its fingerprint')
		.argument('[plan_id...]', 'only these plans')
		.option('--json', 'the answers as JSON, also in a terminal')
		.action(async (plan_ids: string[], options: PlanLocation & JsonOption) => exit(await verifyCommand(plan_ids, options)))
	command('export', 'write plans as JSON lines to standard output')
		.argument('[plan_id...]', 'only these plans')
		.action(async (plan_ids: string[], options: PlanLocation) => exit(await exportCommand(plan_ids, options)))
	command('clear', 'delete the events of finished plans but keep their states and results')
		.argument('<plan_id...>')
		.option('--json', 'the answers as JSON, also in a terminal')
		.action(async (plan_ids: string[], options: PlanLocation & JsonOption) => exit(await clearCommand(plan_ids, options)))
	command('delete', 'delete finished plans with all their events')
		.argument('<plan_id...>')
		.option('--json', 'the answers as JSON, also in a terminal')
		.action(async (plan_ids: string[], options: PlanLocation & JsonOption) => exit(await deleteCommand(plan_ids, options)))
	command('import', 'create plans from the output of export')
		.argument('[file]', 'JSON lines, or - for standard input', '-')
		.option('--json', 'the answers as JSON, also in a terminal')
		.action(async (file: string, options: PlanLocation & JsonOption) => exit(await importCommand(file, options)))
}

/** `planstream verify`: exit code 1 when a plan is damaged. */
async function verifyCommand(
	plan_ids: readonly string[],
	{ json = false, ...place }: PlanLocation & JsonOption,
): Promise<ExitCode> {
	await using plans = await openPlans(place)
	const verify = async (plan_id: string): Promise<VerifyOutput> => {
		const verified = await plans.verify(plan_id)
		if (plan_id !== SYSTEM_PLAN_ID || !verified.ok)
			await writeLine(wantsJson(json) ? JSON.stringify(verified) : formatVerdict(verified))
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
	for (const plan_id of plan_ids) {
		const answer = await ask(plans, plan_id)
		await writeLine(wantsJson(json) ? JSON.stringify(answer) : describe(answer))
	}
	return EXIT.done
}

/** `planstream import`: imports each plan completely or not at all and stops at the first refusal. */
async function importCommand(file: string, { json = false, ...place }: PlanLocation & JsonOption): Promise<ExitCode> {
	await using plans = await openPlans(place, { make: true })
	let made = 0
	for await (const lines of splitArchives(openInput(file))) {
		const imported = await plans.import(lines)
		await writeLine(wantsJson(json) ? JSON.stringify(imported) : formatReceipt(imported))
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

async function* listPlanIds(plans: Plans, plan_ids: readonly string[]): AsyncGenerator<string, void, void> {
	if (plan_ids.length > 0) {
		yield* plan_ids
		return
	}
	let page: string | null = null
	do {
		const found = await plans.list({ limit: PAGE, ...(page !== null && { page }) })
		for (const { plan_id } of found.plans) yield plan_id
		page = found.next_page
	} while (page !== null)
}
