import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { type Calls, Coverage } from './walk/coverage.js'
import { writeInstrumentedCopy } from './walk/instrument.js'
import { CARRIED_ID, readCarriers } from './walk/probe.js'
import { startScene } from './walk/scene.js'

/** Each round publishes one event and then idles for as long; odd, for the median. */
const ROUNDS = 9

/** Covers what follows the arrival of an event: delayed writes, answers, summaries. */
const SETTLE_MS = 250

const root = fileURLToPath(new URL('../..', import.meta.url))
const passed = await findPassedFiles()
const carriers = await findCarriers()
for (const file of passed) console.log(`${carriers.includes(file) ? '*' : ' '} ${file}`)
console.log('The files that one step_progress passes from a POST over REST to the loop of a client on WebSocket.')
console.log(`A function of the file runs once more for each event: ${countPlaces(passed)}.`)
console.log(`* A function of it takes or gives the event as object, text or bytes: ${countPlaces(carriers)}.`)

/** Finds the files with a function that is called more often while an event is published than in an idle time as long. */
async function findPassedFiles(): Promise<string[]> {
	await using scene = await startScene()
	using coverage = await Coverage.start()
	const published: Calls[] = []
	const idle: Calls[] = []
	await delay(SETTLE_MS)
	await coverage.take()
	for (let round = 1; round <= ROUNDS; round++) {
		const startedAt = performance.now()
		await scene.publish(`round-${round}`)
		await delay(SETTLE_MS)
		published.push(await coverage.take())
		await delay(performance.now() - startedAt)
		idle.push(await coverage.take())
	}
	const functions = [...new Set(published.flatMap((calls) => [...calls.keys()]))]
	const onTheWay = functions.filter((key) => takeMedian(published, key) > takeMedian(idle, key) && key.startsWith('file:'))
	return listSources(onTheWay.map((key) => path.relative(root, fileURLToPath(key.slice(0, key.lastIndexOf('#'))))))
}

/** Timers run in some rounds only, so that the median leaves them out. */
function takeMedian(rounds: readonly Calls[], key: string): number {
	return rounds.map((calls) => calls.get(key) ?? 0).sort((a, b) => a - b)[ROUNDS >> 1] ?? 0
}

/** Finds the files whose functions take or give the event, by running a changed copy of the compiled code. */
async function findCarriers(): Promise<string[]> {
	const copy = await mkdtemp(path.join(tmpdir(), 'planstream-walk-copy-'))
	try {
		writeInstrumentedCopy(root, copy)
		const instrumented = pathToFileURL(path.join(copy, 'dist/scripts/walk/scene.js')).href
		const { startScene } = (await import(instrumented)) as typeof import('./walk/scene.js')
		await using scene = await startScene()
		await scene.publish(CARRIED_ID)
		await delay(SETTLE_MS)
		return listSources(readCarriers())
	} finally {
		await rm(copy, { recursive: true, force: true })
	}
}

/** Turns compiled files of the packages into their sources, sorted and each once; leaves all other files out. */
function listSources(compiled: readonly string[]): string[] {
	const sources = compiled.flatMap((file) => {
		const [, name, rest] = /^(server|client|shared)\/dist\/(.*)\.js$/.exec(file.split(path.sep).join('/')) ?? []
		return rest === undefined ? [] : [`${name}/src/${rest}.ts`]
	})
	return [...new Set(sources)].sort()
}

function countPlaces(files: readonly string[]): string {
	return `${files.length} files in ${new Set(files.map((file) => path.dirname(file))).size} folders`
}
