import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { execute, root } from '../support/packages/packed-packages.js'

/** Lines to add to each file, before the first line that starts with `before`. */
type Edits = Readonly<Record<string, readonly (readonly [before: string, lines: string])[]>>

const EVENT_TYPE: Edits = {
	'shared/src/event-types.ts': [["	'step_output',", "	'step_yodelled',"]],
	'shared/src/events.ts': [
		['	step_output: z', "	step_yodelled: z.looseObject({ text, level: z.enum(['low', 'high']).default('low') }),"],
		["	step('step_output'", "	step('step_yodelled', 'The step yodelled.', ['text']),"],
	],
	'shared/src/plan-state.ts': [["		case 'metrics_update':", "		case 'step_yodelled':"]],
	'shared/src/plan-state.test.ts': [['	step_output: {', "	step_yodelled: { text: 'x' },"]],
	'test/support/packages/consumer/types.mts': [
		["		case 'step_completed':", "		case 'step_yodelled':\n			return event.data.text"],
	],
}

const PROCEDURE: Edits = {
	'shared/src/commands.ts': [
		[
			'export const agentsOutput',
			`export const yodelOutput = z
	.object({ plan_id: planId, yodels: count })
	.register(answerTypes, { id: 'PlansYodelOutput', doc: 'The yodels of a plan.' })
`,
		],
	],
	'shared/src/contract.ts': [
		['	createInput,', '	yodelOutput,'],
		[
			"	'plans.list': {",
			`	'plans.yodel': {
		kind: 'query',
		input: planInput,
		output: yodelOutput,
		rest: { method: 'GET', path: '/api/v1/plans/{plan_id}/yodel', status: 200 },
		scope: 'plans:read',
		summary: 'Yodels a plan.',
	},`,
		],
	],
	'server/src/api/router.ts': [
		[
			"			list: procedure('plans.list')",
			"			yodel: procedure('plans.yodel').query(({ input: { plan_id } }) => Promise.resolve({ plan_id, yodels: 0 })),",
		],
	],
	'test/e2e/http/tenants.test.ts': [["	'plans.get': (plan_id)", "	'plans.yodel': (plan_id) => [{ plan_id }],"]],
}

let copy = ''
let before: ReadonlyMap<string, string> = new Map()
beforeAll(async () => {
	copy = await mkdtemp(path.join(tmpdir(), 'planstream-adding-'))
	copyRepository()
	before = readFiles()
	write(EVENT_TYPE)
	write(PROCEDURE)
	await run('generate')
	await run('build')
}, 600_000)
afterAll(() => rm(copy, { recursive: true, force: true }))

describe('an event type and a procedure added as CONTRIBUTING says', () => {
	it('change three sources each and three tests, besides generated files', () => {
		const changed = [...readFiles()].filter(([file, text]) => before.get(file) !== text).map(([file]) => file)
		const generated = changed.filter((file) => file.startsWith('client/src/generated/') || file === 'PROTOCOL.md')
		const written = changed.filter((file) => !generated.includes(file))
		expect(written.sort()).toEqual([...Object.keys(EVENT_TYPE), ...Object.keys(PROCEDURE)].sort())
		expect(written).toHaveLength(9)
	})

	it('compile together with all tests', async () => {
		await run('check:types')
	}, 600_000)

	it('appear in the SDK', () => {
		expect(read('client/src/generated/event-helpers.ts')).toContain(
			`	/** Publishes \`step_yodelled\`. The step yodelled. */
	stepYodelled(
		step_id: string,
		text: StepYodelledEventInput['data']['text'],
		more?: Omit<StepYodelledEventInput['data'], 'text'>,
	): Promise<Accepted>`,
		)
		expect(read('client/src/generated/procedures.ts')).toContain(
			`		/** Yodels a plan. */
		yodel(input: PlanInput, options?: CallOptions): Promise<PlansYodelOutput>`,
		)
	})

	it('appear in the documents', () => {
		expect(read('PROTOCOL.md')).toContain('| `step_yodelled` | step | The step yodelled. |')
		expect(read('PROTOCOL.md')).toContain('| `GET /api/v1/plans/{plan_id}/yodel` | `plans.yodel` | `plans:read` |')
		expect(JSON.parse(read('server/dist/descriptions/openapi.json'))).toHaveProperty(
			['paths', '/api/v1/plans/{plan_id}/yodel', 'get', 'operationId'],
			'plans_yodel',
		)
		expect(JSON.parse(read('server/dist/descriptions/asyncapi.json'))).toHaveProperty('components.messages.StepYodelledEvent')
		expect(JSON.parse(read('shared/dist/schemas.json'))).toHaveProperty('$defs.StepYodelledData')
		expect(read('server/dist/descriptions/reference.html')).toContain('<pre id="PlansYodelOutput">')
	})
})

/** Copies this repository with its build output, so that only what changes is built again. */
function copyRepository(): void {
	const leftOut = ['.git', '.planstream', 'node_modules', 'release'].map((name) => path.join(root, name))
	cpSync(root, copy, { recursive: true, preserveTimestamps: true, filter: (file) => !leftOut.includes(file) })
	const modules = path.join(copy, 'node_modules')
	mkdirSync(path.join(modules, '@planstream'), { recursive: true })
	for (const name of readdirSync(path.join(root, 'node_modules'))) {
		if (name !== '@planstream' && name !== 'planstream')
			symlinkSync(path.join(root, 'node_modules', name), path.join(modules, name))
	}
	for (const name of ['shared', 'client', 'server']) symlinkSync(path.join(copy, name), path.join(modules, '@planstream', name))
	symlinkSync(path.join(copy, 'cli'), path.join(modules, 'planstream'))
}

/** Runs a script of the copy, and throws with its output when it fails. */
async function run(script: string): Promise<void> {
	await execute('npm', ['run', script], { cwd: copy }).catch((error: { stdout: string; stderr: string }) => {
		throw new Error(error.stdout + error.stderr)
	})
}

function write(edits: Edits): void {
	for (const [file, additions] of Object.entries(edits)) {
		const text = additions.reduce((text, [before, lines]) => {
			const [start, ...rest] = text.split(`\n${before}`)
			if (rest.length === 0) throw new Error(`No line of ${file} begins with "${before}".`)
			return `${start}\n${lines}\n${before}${rest.join(`\n${before}`)}`
		}, read(file))
		writeFileSync(path.join(copy, file), text)
	}
}

function read(file: string): string {
	return readFileSync(path.join(copy, file), 'utf8')
}

/** Reads the files of the copy that git would track. */
function readFiles(): Map<string, string> {
	const files = readdirSync(copy, { recursive: true, withFileTypes: true })
		.filter((entry) => entry.isFile())
		.map((entry) => path.relative(copy, path.join(entry.parentPath, entry.name)))
		.filter((file) => !/(^|\/)(dist|node_modules)\//.test(file))
	return new Map(files.map((file) => [file, read(file)]))
}
