import { appendScenario } from '../append/scenario.js'
import { type Cores, ONE_CORE, takeCores } from '../cores.js'
import { describe, type Environment, readEnvironment } from '../environment.js'
import { MEMORY_BASE } from '../fanout/measure.js'
import { burstsScenario, fanoutScenario, memoryScenario } from '../fanout/scenarios.js'
import { findFileLimit } from '../open-files.js'
import type { Options, ScenarioName } from '../options.js'
import { replayScenario } from '../replay/scenario.js'
import { type Series, toRows } from '../report/rows.js'
import { measureRounds } from '../rounds.js'
import type { Scenario } from '../scenario.js'
import { GATES, type Gate } from './gates.js'
import { judge, type Measured, selectNeeded, settle, type Verdict } from './judge.js'

const OPTIONS: Omit<Options, 'scenarios'> = { rounds: 1, seconds: 0.7, subscribers: [1000], json: null, chart: null }

const MAKE: readonly (readonly [ScenarioName, (options: Options, cores: Cores) => Scenario])[] = [
	['fanout', fanoutScenario],
	['bursts', burstsScenario],
	['memory', memoryScenario],
	['append', appendScenario],
	['replay', replayScenario],
]

/** Names of the divisors in messages. */
const NAMES = { floor: "the floor's", stock: "stock tRPC's" } as const

process.on('SIGINT', () => process.exit(130))
process.on('SIGTERM', () => process.exit(143))
const cores = takeCores()
const noFiles = findFileLimit(MEMORY_BASE + Math.max(...OPTIONS.subscribers))
if (cores === null) console.log(`${ONE_CORE} No gate was checked.`)
else if (noFiles !== null) console.log(`${noFiles}. No gate was checked.`)
else await run(cores)

/** Measures the figures of all gates, and again those that missed. A gate that is missed twice fails the run. */
async function run(cores: Cores): Promise<void> {
	const environment = readEnvironment(cores, new Date())
	console.log(describe(environment))
	const first = await measure(cores, selectGates(environment))
	const missed = first.filter(({ isMissed }) => isMissed)
	const again = await measure(cores, [...new Set(missed.map(({ gate }) => gate))])
	const verdicts = settle(first, again)
	for (const verdict of missed) console.log(`The first time ${describeVerdict(verdict)}`)
	for (const verdict of verdicts) console.log(`${verdict.isMissed ? 'MISSED' : 'ok'}: ${describeVerdict(verdict)}`)
	process.exitCode = verdicts.some(({ isMissed }) => isMissed) ? 1 : 0
}

/** Selects the gates. The ones of append need a disk, since durability is free in memory. */
function selectGates({ disk }: Environment): readonly Gate[] {
	if (disk === 'disk') return GATES
	console.log('The gates of append are skipped, because the stores are in memory.')
	return GATES.filter(({ scenario }) => scenario !== 'append')
}

async function measure(cores: Cores, gates: readonly Gate[]): Promise<Verdict[]> {
	const measured: Measured[] = []
	for (const [scenario, make] of MAKE) {
		const series: Series[] = []
		const cases = selectNeeded(scenario, make({ ...OPTIONS, scenarios: [scenario] }, cores).cases, gates)
		for await (const { of, measurement } of measureRounds(cases, OPTIONS.rounds)) series.push({ of, rounds: [measurement] })
		measured.push({ scenario, rows: toRows(series) })
	}
	return judge(measured, gates)
}

function describeVerdict({ gate, subject, value }: Verdict): string {
	const { scenario, group, what, to, most } = gate
	const shown = (figure: number): string => (to === null ? figure.toFixed(1) : `${figure.toPrecision(2)} times ${NAMES[to]}`)
	return `${scenario}, ${group}, ${subject}: ${what} was ${shown(value)}, the limit is ${shown(most)}.`
}
