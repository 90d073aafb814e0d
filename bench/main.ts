import { appendFileSync, writeFileSync } from 'node:fs'
import { appendScenario } from './append/scenario.js'
import type { Case, Measurement } from './case.js'
import { type Cores, ONE_CORE, takeCores } from './cores.js'
import { describe, type Environment, readEnvironment } from './environment.js'
import {
	burstsScenario,
	deflateScenario,
	fanoutScenario,
	manyScenario,
	memoryScenario,
	pacedScenario,
	stalledScenario,
} from './fanout/scenarios.js'
import { type Options, parseOptions, type ScenarioName, USAGE } from './options.js'
import { plansScenario } from './plans/scenario.js'
import { replayScenario } from './replay/scenario.js'
import { drawChart } from './report/chart.js'
import { loadCpu, type Row, toRows } from './report/rows.js'
import { formatTable } from './report/table.js'
import { measureRounds } from './rounds.js'
import type { Scenario } from './scenario.js'

/** Share of its core above which the load generator may have limited the rate. */
const BUSY = 0.9

const MAKE: Readonly<Record<ScenarioName, (options: Options, cores: Cores) => Scenario>> = {
	append: appendScenario,
	fanout: fanoutScenario,
	bursts: burstsScenario,
	many: manyScenario,
	paced: pacedScenario,
	stalled: stalledScenario,
	deflate: deflateScenario,
	memory: memoryScenario,
	replay: replayScenario,
	plans: plansScenario,
}

process.on('SIGINT', () => process.exit(130))
process.on('SIGTERM', () => process.exit(143))
try {
	await run(parseOptions(process.argv.slice(2)))
} catch (error) {
	process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n${USAGE}\n`)
	process.exitCode = 1
}

async function run(options: Options): Promise<void> {
	const cores = takeCores()
	if (cores === null) throw new Error(ONE_CORE)
	const environment = readEnvironment(cores, new Date())
	const scenarios = options.scenarios.map((name) => MAKE[name](options, cores))
	console.log(
		`${describe(environment)}\n${options.rounds} rounds of ${options.seconds} s; median (least..greatest) of the rounds`,
	)
	const measured = await measure(scenarios, options, environment)
	for (const [at, { title, cases, columns }] of scenarios.entries()) {
		const rows = toRows(cases.map((of) => ({ of, rounds: measured.get(of) ?? [] })))
		console.log(`\n${title}\n\n${formatTable(columns, rows)}`)
		for (const message of listBottlenecks(rows)) console.log(message)
		if (options.scenarios[at] === 'fanout') draw(options, rows, environment)
	}
}

async function measure(
	scenarios: readonly Scenario[],
	options: Options,
	environment: Environment,
): Promise<Map<Case, Measurement[]>> {
	const cases = scenarios.flatMap((scenario) => scenario.cases)
	const measured = new Map<Case, Measurement[]>(cases.map((one) => [one, []]))
	const write = createWriter(options, { environment })
	for await (const { round, of, measurement } of measureRounds(cases, options.rounds)) {
		measured.get(of)?.push(measurement)
		write({ round, group: of.group, subject: of.subject, role: of.role, ...measurement })
	}
	return measured
}

function draw({ chart: file }: Options, rows: readonly Row[], { date, node, cpu }: Environment): void {
	if (file === null) return
	const note = `median of ${rows[0]?.rounds.length ?? 0} rounds, ${date.slice(0, 10)}, Node ${node.slice(1)}, ${cpu}; npm run bench -- fanout`
	writeFileSync(file, drawChart('Server CPU per delivered event, in microseconds (logarithmic)', rows, note))
}

function createWriter({ json }: Options, first: object): (line: object) => void {
	if (json === null) return () => undefined
	const write = (line: object): void => appendFileSync(json, `${JSON.stringify(line)}\n`)
	write(first)
	return write
}

function listBottlenecks(rows: readonly Row[]): string[] {
	return rows.flatMap(({ of, rounds }) => {
		const busy = rounds.filter((measurement) => loadCpu(measurement) > BUSY).length
		if (busy === 0) return []
		return [
			`${of.group}, ${of.subject}: in ${busy} of ${rounds.length} rounds the load generator was the bottleneck, not the server.`,
		]
	})
}
