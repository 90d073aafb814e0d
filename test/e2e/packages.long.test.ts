import { cpSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { blocksIn } from '../docs/documents.js'
import {
	createHost,
	execute,
	findTarball,
	install,
	installHost,
	listTarballs,
	packRelease,
	root,
} from '../support/packages/packed-packages.js'
import { COMPILERS, MATRIX_NOTE, matrixIsMissing, NODES, PNPM } from '../support/packages/version-matrix.js'

const { peerDependencies } = JSON.parse(readFileSync(path.join(root, 'server/package.json'), 'utf8')) as {
	peerDependencies: Readonly<Record<'@trpc/server' | 'hono' | 'zod', string>>
}
/** The first version of a range such as `^4.10.0`. */
const oldestOf = (range: string): string => range.replace('^', '')
const trpc = peerDependencies['@trpc/server']
const TYPES = ['@types/node@20', `@trpc/server@${trpc}`, `@trpc/client@${trpc}`]

/** Packages of an application, beside ours. */
const OTHERS = {
	oldest: [
		`hono@${oldestOf(peerDependencies.hono)}`,
		`zod@${oldestOf(peerDependencies.zod)}`,
		'@hono/node-server@1.19.5',
		...TYPES,
	],
	newest: [`hono@${peerDependencies.hono}`, `zod@${peerDependencies.zod}`, '@hono/node-server@2', ...TYPES],
} as const

const NEWEST = 'the newest packages'
const SECOND = 'a second copy of Hono'
const APPLICATIONS = ['the oldest packages', NEWEST, SECOND] as const
const PLAN = { seqs: [1, 2, 3, 4, 5], result: { a: { words: 2 } }, blocks: 5, live: [200, 'yes'], encoding: null }
const SEEN = [
	{ router: 'UNAUTHORIZED' },
	{ base: '/handler', ...PLAN, refused: ['invalid_input', true, true] },
	{ base: '/app/blue', ...PLAN, refused: ['invalid_input', true, true] },
	{ withoutNode: 'host: This request has no Node response' },
]
const INSTALLING_MS = 180_000

let directory = ''
const folderOf = (name: string): string => path.join(directory, name.replaceAll(' ', '-'))
beforeAll(async () => {
	if (matrixIsMissing) return
	directory = await mkdtemp(path.join(tmpdir(), 'planstream-matrix-'))
	await packRelease()
	const [oldest, newest, second] = APPLICATIONS.map(folderOf) as [string, string, string]
	await Promise.all([installHost(oldest, OTHERS.oldest), installHost(newest, OTHERS.newest)])
	cpSync(newest, second, { recursive: true })
	const nested = path.join(second, 'node_modules/@planstream/server/node_modules/hono')
	cpSync(path.join(oldest, 'node_modules/hono'), nested, { recursive: true })
}, INSTALLING_MS)
afterAll(() => rm(directory || folderOf('none'), { recursive: true, force: true }))

/** Runs the host program and returns what it printed. */
async function runHost(node: string, folder: string): Promise<unknown[]> {
	const data = await mkdtemp(path.join(directory, 'data-'))
	const { stdout } = await execute(node, ['host.mjs', data], { cwd: folder })
	return stdout
		.trim()
		.split('\n')
		.map((line) => JSON.parse(line) as unknown)
}

describe.each(APPLICATIONS)('an application with %s', (application) => {
	it.for(NODES)('mounts the packed server on $name and follows its plans', async ({ command, missing }, { skip }) => {
		skip(missing || matrixIsMissing, MATRIX_NOTE)
		expect(await runHost(command, folderOf(application))).toEqual(SEEN)
	})

	// The applications with the oldest and the newest packages say what the other compilers make of ours.
	it.for(application === SECOND ? COMPILERS.slice(0, 1) : COMPILERS)(
		'compiles with $name, and emits declarations of its router',
		async ({ command, missing }, { skip }) => {
			skip(missing || matrixIsMissing, MATRIX_NOTE)
			const files = ['mounted.ts', 'router.ts', ...(application === SECOND ? [] : ['one-copy.ts'])]
			const out = `out-${path.basename(path.dirname(path.dirname(command)))}`
			expect(await compile(folderOf(application), command, ['--declaration', '--outDir', out, ...files])).toEqual([])
			if (application !== NEWEST) return // declarations differ by the compiler alone
			cpSync(path.join(folderOf(application), 'caller.ts'), path.join(folderOf(application), out, 'caller.ts'))
			expect(await compile(folderOf(application), command, ['--noEmit', path.join(out, 'caller.ts')])).toEqual([])
		},
	)
})

/** Compiles files with the compiler's own libraries, all declarations included, and returns the errors. */
async function compile(folder: string, compiler: string, args: readonly string[]): Promise<string[]> {
	const options = ['--strict', '--target', 'es2022', '--module', 'nodenext', '--skipLibCheck', 'false', '--types', 'node']
	const { stdout } = await execute(process.execPath, [compiler, ...options, ...args], { cwd: folder }).catch(
		(failed: { stdout: string }) => failed,
	)
	return stdout.split('\n').filter((line) => line !== '' && !OF_OLD_HONO.test(line))
}

/** Hono 4.10 has a declaration of its own that TypeScript 5.7 does not take. */
const OF_OLD_HONO = /^node_modules\/(?:.*\/node_modules\/)?hono\/.* TS1166:/

describe('the packed packages', () => {
	it.for(NODES)('are required by a CommonJS module on $name', async ({ command, missing }, { skip }) => {
		skip(missing || matrixIsMissing, MATRIX_NOTE)
		const program = `
			const { createPlanstreamClient } = require('@planstream/client')
			const { startServer } = require('@planstream/server')
			const { planSpec } = require('@planstream/shared/schemas')
			console.log(typeof createPlanstreamClient, typeof startServer, typeof planSpec.parse)`
		const { stdout } = await execute(command, ['--input-type=commonjs', '-e', program], { cwd: folderOf(NEWEST) })
		expect(stdout).toBe('function function function\n')
	})

	it('run in the strict folders of pnpm', async ({ skip }) => {
		skip(PNPM.missing || matrixIsMissing, MATRIX_NOTE)
		const folder = folderOf('pnpm')
		// The registry has no packages of ours, so those of one another are overridden, too.
		const own = { '@planstream/shared': `file:${findTarball('shared')}`, '@planstream/client': `file:${findTarball('client')}` }
		createHost(folder, { pnpm: { overrides: own } })
		const place = ['--store-dir', path.join(directory, 'pnpm-store'), '--prefer-offline']
		await execute(process.execPath, [PNPM.command, 'add', ...place, ...listTarballs('client', 'server'), ...OTHERS.newest], {
			cwd: folder,
			env: { ...process.env, CI: 'true' },
		})
		expect(await runHost(process.execPath, folder)).toEqual(SEEN)
	})

	it.for(['3.25.0', '4.0.0', '4.3.0', '4'])('put a client beside zod %s, and bring no other', async (version, { skip }) => {
		skip(matrixIsMissing, MATRIX_NOTE)
		const folder = folderOf(`client-${version}`)
		await install(folder, [`zod@${version}`])
		await install(folder, listTarballs('client'))
		const { packages } = JSON.parse(readFileSync(path.join(folder, 'package-lock.json'), 'utf8')) as { packages: object }
		expect(Object.keys(packages)).toEqual(['', 'node_modules/@planstream/client', 'node_modules/zod'])
	})

	const lines = [...new Set(blocksIn('sh').flatMap(({ text }) => text.match(/^npm install .*(?:planstream).*$/gm) ?? []))]

	it.for(lines)('install by the documented "%s"', async (line, { skip }) => {
		skip(matrixIsMissing, MATRIX_NOTE)
		const words = line.split(' ').slice(2)
		const others = words.filter((word) => !/^(?:@planstream\/|planstream$|--global$)/.test(word))
		const own = ['shared', 'client', 'server', 'cli'] as const
		const named = own.filter((name) => words.includes(name === 'cli' ? 'planstream' : `@planstream/${name}`))
		expect(named).not.toEqual([])
		const tarballs = named.includes('cli') ? own : named.includes('server') ? ([...named, 'shared'] as const) : named
		await install(folderOf(line.replace(/\W+/g, '-')), [...listTarballs(...tarballs), ...others], '--package-lock-only')
	})

	it('run the demo by npx in a folder with nothing else', async ({ skip }) => {
		skip(matrixIsMissing, MATRIX_NOTE)
		const folder = folderOf('command')
		await install(folder, listTarballs('shared', 'client', 'server', 'cli'))
		const env = { PATH: process.env.PATH, HOME: folder, NO_COLOR: '1' }
		const { stdout } = await execute('npx', ['--offline', 'planstream', 'demo', '--exit'], { cwd: folder, env })
		expect(stdout).toMatch(/^demo_\w+: completed/m)
	})
})
