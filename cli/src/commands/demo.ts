import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Planstream } from '@planstream/client'
import type { RunningServer } from '@planstream/server'
import { type Check, type Json, type PlanEvent, type PlanState, PlanstreamError } from '@planstream/shared'
import { connect, createTypeCommand } from '../connection.js'
import { type Display, openDisplay, readResultView } from '../display.js'
import { EXIT, type ExitCode, UsageError } from '../exit.js'
import { renderMarkdown } from '../markdown.js'
import { canRedraw, note, writeLine } from '../output.js'
import type { TypeCommand } from '../render.js'
import { toOneLine } from '../text.js'
import { follow, type Interrupt, listenForInterrupt, toExitCode } from './watch.js'

/** Starts a server for the demo that may read the corpus; also returns its data directory. */
async function startDemoServer(env: NodeJS.ProcessEnv, corpus: string) {
	const { createLogger, parseSettings, startServer } = await import('@planstream/server')
	const settings = parseSettings({ LOG_LEVEL: 'error', ...env })
	let directory = settings.PLANSTREAM_DATA
	const { HOST: host, PLANSTREAM_API_KEYS: apiKeys, PLANSTREAM_ORIGINS: origins } = settings
	const logger = createLogger(settings.LOG_LEVEL)
	/** Takes another port or directory where a server has the default one. */
	const start = async (port: number): Promise<RunningServer> => {
		try {
			return await startServer({ host, port, apiKeys, origins, store: { kind: 'sqlite', directory }, corpus, logger })
		} catch (error) {
			if (!(error instanceof PlanstreamError)) throw error
			if (error.code === 'conflict' && !env.PORT && port !== 0) {
				note(`Port ${port} is in use, so the demo uses a free one.`)
				return start(0)
			}
			const isLocked = error.code === 'storage_unavailable' && typeof error.facts.pid === 'number'
			if (!isLocked || env.PLANSTREAM_DATA || directory !== settings.PLANSTREAM_DATA) throw error
			directory = await mkdtemp(path.join(tmpdir(), 'planstream-demo-'))
			note(`A server has ${settings.PLANSTREAM_DATA} open, so the demo uses ${directory}.`)
			return start(port)
		}
	}
	const server = await start(settings.PORT)
	return { server, directory }
}

const REPORT_STEP = 'report'

/** Assembles the text that a step streams from its events, and keeps what it says of its coverage. */
class StreamedReport {
	#text = ''
	#coverage = ''
	#foundNothing = false

	take(event: PlanEvent): void {
		if (event.event_type === 'quality_check') this.#foundNothing = event.data.checks?.some(isUncovered) ?? false
		if (event.step_id !== REPORT_STEP) return
		if (event.event_type === 'step_started') this.#text = ''
		if (event.event_type === 'step_output' && event.data.channel === 'text') this.#text += event.data.delta ?? ''
		if (event.event_type === 'step_completed') this.#coverage = describeCoverage(event.data.data)
	}

	/** Whether no question has any quote. */
	get foundNothing(): boolean {
		return this.#foundNothing
	}

	/** How many questions are covered; '' before the end. */
	get coverage(): string {
		return this.#coverage
	}

	/** Prints the report to a terminal that has not shown it line by line. */
	async print(typeCommand: TypeCommand): Promise<void> {
		for (const line of ['', ...renderMarkdown(this.#text, readResultView(typeCommand)), '']) await writeLine(line)
	}

	/**
	 * Writes the report to a file.
	 *
	 * @returns the absolute path of the file
	 * @throws PlanstreamError when the text differs from the stored artifact
	 */
	async save(state: PlanState, directory: string): Promise<string> {
		const [artifact] = state.steps.find(({ step_id }) => step_id === REPORT_STEP)?.artifacts ?? []
		if (artifact?.artifact_id !== createHash('sha256').update(this.#text).digest('hex')) {
			throw new PlanstreamError(
				'internal',
				`The streamed report differs from the stored artifact (${artifact?.artifact_id ?? 'none'}).`,
			)
		}
		const file = path.resolve(directory, 'reports', `${state.plan_id}.md`)
		await mkdir(path.dirname(file), { recursive: true })
		await writeFile(file, this.#text)
		return file
	}
}

function isUncovered({ name, score }: Check): boolean {
	return name === 'coverage' && score === 0
}

function describeCoverage(result: Json | undefined): string {
	const { questions, covered, uncovered } = { ...(result as Partial<Record<'questions' | 'covered' | 'uncovered', Json>>) }
	const gaps = Array.isArray(uncovered) ? uncovered.map((question) => `\n  not fully: ${toOneLine(String(question))}`) : []
	return `Covered: ${String(covered)} of ${String(questions)} ${questions === 1 ? 'question' : 'questions'}${gaps.join('')}`
}

export interface DemoOptions {
	readonly corpus?: string
	readonly question?: string[]
	readonly exit?: boolean
	readonly json?: boolean
}

/** Default questions, about the project's own documents. */
const QUESTIONS = [
	'How does a client resume after its connection was cut?',
	'When is an event durable, and who sees it before that?',
	'What happens to a running step when the server dies?',
]

/** `planstream demo`: starts a server, runs research over a folder of documents on it and follows it like any client. */
export async function demoCommand({ corpus, question = QUESTIONS, exit = false, json = false }: DemoOptions): Promise<ExitCode> {
	const isForeign = corpus !== undefined && question === QUESTIONS
	const folder = await findDocuments(corpus)
	using interrupt = listenForInterrupt()
	const { researchPlan } = await import('@planstream/server')
	const plan = researchPlan({ plan_id: `demo_${randomBytes(4).toString('hex')}`, corpus: folder, questions: question })
	const { server, directory } = await startDemoServer(process.env, folder)
	await using _server = server
	await using planstream = await connect(server.url)
	const { plan_id } = await planstream.plans.create(plan)
	const typeCommand = createTypeCommand({ url: server.url })
	note(`Looking for sentences that answer ${describeQuestions(question)} in the documents of ${folder}.`)
	if (isForeign) note('The questions are about Planstream, because none was given. Ask yours with --question "...".')
	note('The server is this process. Follow the plan from another terminal, too:')
	note(`  ${typeCommand(`watch ${plan_id}`)}`)
	note(`  curl -N ${server.url}/api/v1/streaming/plans/${plan_id}/events\n`)
	const research = { plan_id, folder, questions: question.length, directory, json, suggest: !exit, typeCommand }
	const code = await showResearch(planstream, research, interrupt)
	if (exit || interrupt.signal.aborted) return code
	note(`\nThe server keeps running at ${server.url}. Press Ctrl-C to stop it. Try in another terminal:`)
	for (const command of ['list', `show ${plan_id}`, `artifact ${plan_id}`]) note(`  ${typeCommand(command)}`)
	await interrupt.happened
	return code
}

function describeQuestions(questions: readonly string[]): string {
	return questions.length === 1 ? 'a question' : `${questions.length} questions`
}

interface Research {
	readonly plan_id: string
	/** Folder of the documents. */
	readonly folder: string
	/** Number of questions. */
	readonly questions: number
	/** Data directory of the server. */
	readonly directory: string
	readonly json: boolean
	/** Whether the server stays for further commands. */
	readonly suggest: boolean
	readonly typeCommand: TypeCommand
}

async function showResearch(
	planstream: Planstream,
	{ plan_id, folder, questions, directory, json, suggest, typeCommand }: Research,
	{ signal }: Interrupt,
): Promise<ExitCode> {
	const report = new StreamedReport()
	const display = openDisplay({ json, typeCommand, suggest, result: false })
	const both: Display = {
		...display,
		show: (state, event) => {
			report.take(event)
			return display.show(state, event)
		},
	}
	const left = await follow(planstream, { plan_id, after: 'start', always: false }, both, signal).finally(() => display.close())
	const code = toExitCode(left, signal)
	if (code === EXIT.done) {
		if (!json && canRedraw()) await report.print(typeCommand)
		note(`Report: ${await report.save(left.state, directory)}`)
		note(report.coverage)
	}
	if (report.foundNothing) {
		const asked = questions === 1 ? 'the question' : 'any of the questions'
		note(`Nothing in the documents of ${folder} answers ${asked}. Ask in their words, or name another folder.`)
	}
	return code
}

/** Folders of the project's docs: inside the package, or next to it in the repository. */
const OWN_DOCS = ['../../docs', '../../../docs'].map((folder) => fileURLToPath(new URL(folder, import.meta.url)))

/** Finds the folder to search: the given one, otherwise the project's own docs, otherwise `docs` in the current folder. */
async function findDocuments(given: string | undefined): Promise<string> {
	const folders = given === undefined ? [...OWN_DOCS, 'docs'] : [given]
	for (const folder of folders) {
		if (await isFolder(folder)) return path.resolve(folder)
	}
	const fault = given === undefined ? 'No folder of docs was found.' : `${given} is not a folder.`
	throw new UsageError(`${fault} Name a folder of text documents with --corpus.`)
}

async function isFolder(folder: string): Promise<boolean> {
	const found = await stat(folder).catch(() => null)
	return found?.isDirectory() ?? false
}
