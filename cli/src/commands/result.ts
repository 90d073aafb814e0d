import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import type { Artifact, PlanState } from '@planstream/shared'
import type { Command } from 'commander'
import { createTypeCommand } from '../connection.js'
import { readResultView } from '../display.js'
import { EXIT, type ExitCode, UsageError } from '../exit.js'
import { note, writeBytes, writeLine } from '../output.js'
import { findPlanId } from '../plan-ids.js'
import { addLocationOptions, openPlans, type PlanLocation, type Plans } from '../plans.js'
import { quoteWord } from '../render.js'
import { listFiles, renderFiles, renderPlanResult, renderResult, type StepFile } from '../result.js'
import { formatBytes, toLines, toOneLine } from '../text.js'

interface JsonOption {
	readonly json?: boolean
}

interface ArtifactOptions extends PlanLocation, JsonOption {
	readonly output?: string
}

/** Adds commands that show what plans have made; each action passes its exit code to `exit`. */
export function addResultCommands(planstream: Command, exit: (code: ExitCode) => void): void {
	addLocationOptions(planstream.command('result').description('print the whole result of a plan, or of one of its steps'))
		.argument('<plan_id>')
		.argument('[step_id]')
		.option('--json', 'print JSON: the answer of the server')
		.action(async (plan: string, step_id: string | undefined, options: PlanLocation & JsonOption) =>
			exit(await resultCommand(plan, step_id, options)),
		)
	addLocationOptions(planstream.command('artifact').description('list the files that steps made, or fetch one of them'))
		.argument('<plan_id>')
		.argument('[step_id]')
		.argument('[name]', 'name of the file, or the start of its digest')
		.option('-o, --output <file>', 'file to write to, or - for standard output (default: standard output)')
		.option('--json', 'print the list as one JSON object per line')
		.action(async (plan: string, step_id: string | undefined, name: string | undefined, options: ArtifactOptions) =>
			exit(await artifactCommand(plan, { step_id, name }, options)),
		)
}

/** `planstream result PLAN [STEP]` */
async function resultCommand(
	plan: string,
	step_id: string | undefined,
	{ json = false, ...place }: PlanLocation & JsonOption,
): Promise<ExitCode> {
	await using plans = await openPlans(place)
	const plan_id = await findPlanId(plans, plan)
	const answer = step_id === undefined ? await plans.result(plan_id) : await plans.stepResult(plan_id, step_id)
	if (json) {
		await writeLine(JSON.stringify(answer))
		return EXIT.done
	}
	const view = readResultView(createTypeCommand(place))
	const lines =
		step_id === undefined ? renderPlanResult(await plans.get(plan_id), answer.result, view) : renderResult(answer.result, view)
	for (const line of lines) await writeLine(line)
	if (lines.length === 0) note('The result is empty.')
	return EXIT.done
}

interface Wanted {
	readonly step_id: string | undefined
	readonly name: string | undefined
}

/** `planstream artifact PLAN [STEP] [NAME]` */
async function artifactCommand(
	plan: string,
	{ step_id, name }: Wanted,
	{ json = false, output, ...place }: ArtifactOptions,
): Promise<ExitCode> {
	if (name === undefined && output !== undefined) {
		throw new UsageError('--output needs a file to write. Name the step and its file before it.')
	}
	await using plans = await openPlans(place)
	const state = await plans.get(await findPlanId(plans, plan))
	const files = listFiles(state).filter((file) => step_id === undefined || file.step_id === step_id)
	if (step_id !== undefined) assertStep(state, step_id)
	if (name !== undefined) {
		await fetchArtifact(plans, state.plan_id, findFile(files, name), output)
		return EXIT.done
	}
	const lines = json
		? files.map(({ artifact, ...step }) => JSON.stringify({ ...step, ...artifact }))
		: renderFiles(state.plan_id, files, readResultView(createTypeCommand(place)))
	for (const line of lines) await writeLine(line)
	if (files.length === 0) note(`Plan ${state.plan_id} has no files${step_id === undefined ? '' : ` of step ${step_id}`}.`)
	return EXIT.done
}

function assertStep({ plan_id, steps }: PlanState, step_id: string): void {
	if (steps.some((step) => step.step_id === step_id)) return
	throw new UsageError(
		`Plan ${plan_id} has no step ${toOneLine(step_id)}. Its steps: ${steps.map((step) => step.step_id).join(', ')}.`,
	)
}

/** Finds a file by its name, otherwise by the start of its digest. */
function findFile(files: readonly StepFile[], text: string): Artifact {
	const named = files.filter(({ artifact }) => artifact.name === text)
	const found = named.length > 0 ? named : files.filter(({ artifact }) => text !== '' && artifact.artifact_id.startsWith(text))
	const digests = [...new Set(found.map(({ artifact }) => artifact.artifact_id))]
	const [first] = found
	if (first !== undefined && digests.length === 1) return first.artifact
	if (digests.length > 1) {
		throw new UsageError(`${digests.length} files match ${toOneLine(text)}. Type one of their digests: ${digests.join(', ')}.`)
	}
	const names = files.map(({ artifact }) => toOneLine(artifact.name)).join(', ')
	throw new UsageError(`The step has no file ${toOneLine(text)}. ${names === '' ? 'It has made none.' : `Its files: ${names}.`}`)
}

/** Media types of text that a terminal may show. */
const TEXT_TYPE = /^(text\/|application\/(json|x-ndjson|yaml|toml)\b)|\+(json|yaml)$/i

async function fetchArtifact(plans: Plans, plan_id: string, artifact: Artifact, output: string | undefined): Promise<void> {
	const content = checkDigest(artifact, plans.artifact(plan_id, artifact.artifact_id))
	if (output !== undefined && output !== '-') return await saveFile(output, artifact, content)
	if (!process.stdout.isTTY) {
		for await (const bytes of content) await writeBytes(bytes)
		return
	}
	if (!TEXT_TYPE.test(artifact.media_type)) {
		const about = `${toOneLine(artifact.name)} is ${toOneLine(artifact.media_type)}`
		throw new UsageError(`${about}, which a terminal cannot show. Write it to a file with -o ${quoteWord(artifact.name)}.`)
	}
	let text = ''
	const decoder = new TextDecoder()
	for await (const bytes of content) text += decoder.decode(bytes, { stream: true })
	for (const line of toLines(text + decoder.decode())) await writeLine(line)
}

/** Writes beside the file and renames, so that it is whole or not there. */
async function saveFile(file: string, artifact: Artifact, content: AsyncIterable<Uint8Array>): Promise<void> {
	const part = `${file}.${process.pid}.part`
	try {
		await pipeline(content, createWriteStream(part, { flags: 'wx' }))
		await rename(part, file)
	} catch (error) {
		await rm(part, { force: true })
		const code = error instanceof Error && 'code' in error ? error.code : null
		if (code !== 'ENOENT' && code !== 'EACCES' && code !== 'EISDIR' && code !== 'ENOSPC') throw error
		throw new UsageError(`${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
	}
	note(`Wrote ${file}, ${formatBytes(artifact.bytes)}.`)
}

/** Passes content on and throws after its last byte if it is not that of the digest. */
async function* checkDigest(artifact: Artifact, content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
	const hash = createHash('sha256')
	for await (const bytes of content) {
		hash.update(bytes)
		yield bytes
	}
	if (hash.digest('hex') === artifact.artifact_id) return
	throw new Error(`The content of ${toOneLine(artifact.name)} does not match its digest ${artifact.artifact_id}. Do not use it.`)
}
