import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'

const MAIN = fileURLToPath(new URL('../dist/bench/main.js', import.meta.url))
const GATE = fileURLToPath(new URL('../dist/bench/gate/main.js', import.meta.url))
const SUBSCRIBERS = 3

const APPEND = ['file + fdatasync', 'planstream log (sqlite)', 'planstream hub.publish']
const WEBSOCKET = ['raw ws', 'planstream trpc', 'planstream plain', 'stock trpc']
const SSE = ['raw sse', 'planstream sse', 'planstream trpc', 'stock trpc']
const FANOUT = [...WEBSOCKET.map((name) => ['ws to 3', name]), ...SSE.map((name) => ['sse to 3', name])]
const DEFLATE = ['planstream trpc', 'planstream plain'].flatMap((group) => ['as it is', 'deflated'].map((way) => [group, way]))
const PLANS = [
	['run', 'events'],
	['list', 'newest'],
	['list filtered', 'status, label and text'],
	['commands', 'pause, resume'],
]
const CASES = [
	...[1, 16, 256].flatMap((inFlight) => APPEND.map((name) => [`append ${inFlight}`, name])),
	...FANOUT,
	...DEFLATE,
	...PLANS,
]
/** The groups in which each event is delivered once per subscriber. */
const READ = new Set([...FANOUT, ...DEFLATE].map(([group]) => group))

function bench(args: readonly string[]) {
	return run(process.execPath, [MAIN, ...args])
}

async function run(command: string, args: readonly string[]) {
	const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
	onTestFinished(() => void child.kill())
	const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
	return { stdout, stderr, code }
}

async function temporaryFile(): Promise<string> {
	const directory = await mkdtemp(path.join(tmpdir(), 'planstream-test-'))
	onTestFinished(() => rm(directory, { recursive: true, force: true }))
	return path.join(directory, 'samples')
}

describe('the benchmarks', () => {
	it.skipIf(availableParallelism() < 2)(
		'deliver every published event to every subscriber and print a row for each case',
		async () => {
			const json = await temporaryFile()
			const few = [
				'append',
				'bursts',
				'deflate',
				'plans',
				'--rounds',
				'1',
				'--seconds',
				'0.1',
				'--subscribers',
				String(SUBSCRIBERS),
			]
			const { stdout, stderr, code } = await bench([...few, '--json', json])
			expect(code, stderr).toBe(0)

			const [first, ...samples] = (await readFile(json, 'utf8')).trim().split('\n').map(parse)
			expect(first).toMatchObject({ environment: { node: process.version, packages: { ws: expect.any(String) } } })
			expect(samples.map(({ group, subject }) => [group, subject])).toEqual(CASES)
			for (const { group, published, delivered } of samples) {
				expect(published).toBeGreaterThan(0)
				expect(delivered).toBe(published * (READ.has(group) ? SUBSCRIBERS : 1))
			}
			const rows = stdout.split('\n').map((line) => line.split(/ {2,}/).slice(0, 2))
			expect(rows.filter((row) => CASES.some((one) => String(one) === String(row)))).toEqual(CASES)
		},
	)

	it('reject an unknown argument by name and measure nothing', async () => {
		const { stdout, stderr, code } = await bench(['sideways'])
		expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
		expect(stderr).toContain(
			'Unknown scenario "sideways". Use one of append, fanout, bursts, many, paced, stalled, deflate, memory, replay, plans.',
		)
	})

	it('reject more subscribers than the limit of open files allows before measuring anything', async () => {
		const command = `ulimit -n 400 && exec ${process.execPath} ${MAIN} fanout --subscribers 10,500`
		const { stdout, stderr, code } = await run('sh', ['-c', command])
		expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
		expect(stderr).toContain('500 connections take 800 open files, and a process may have 400 here.')
	})

	it.skipIf(!existsSync('/usr/bin/taskset'))('skip the gates and say so on a single core', async () => {
		const { stdout, code } = await run('/usr/bin/taskset', ['-c', '0', process.execPath, GATE])
		expect({ code, stdout }).toEqual({
			code: 0,
			stdout: expect.stringMatching(/^There is only one core\. .* No gate was checked\.\n$/),
		})
	})
})

interface Sample {
	readonly group: string
	readonly subject: string
	readonly published: number
	readonly delivered: number
}

function parse(line: string): Sample {
	return JSON.parse(line) as Sample
}
