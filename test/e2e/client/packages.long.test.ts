import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'vite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CHROMIUM_NOTE, chromiumIsMissing, openPage } from '../../support/browser/chromium.js'
import { addShared, execute, installAll, installClient, packRelease, root } from '../../support/packages/packed-packages.js'
import { COMPILERS, ESBUILD, MATRIX_NOTE, NODES } from '../../support/packages/version-matrix.js'
import { startTestServer } from '../../support/servers/test-server.js'

const TRANSPORTS = ['websocket', 'sse'] as const
const SEEN = { seqs: [1, 2, 3, 4, 5], result: { found: 3 } }
const MAX_BUNDLE = 40_000
const MAX_INSTANTIATIONS = 50_000

/** Whether a module of a bundle is neither the page's nor the client's. */
function isForeign(module: string): boolean {
	return !/^(?:page|program)\.js$|^node_modules\/@planstream\/client\/dist\//.test(module)
}

let directory = ''
let project = ''
beforeAll(async () => {
	directory = await mkdtemp(path.join(tmpdir(), 'planstream-packages-'))
	project = path.join(directory, 'consumer')
	await packRelease()
	await installClient(project)
}, 300_000)
afterAll(() => rm(directory, { recursive: true, force: true }))

describe('the packed client', () => {
	it('installs no package besides itself', async () => {
		const installed = (await readdir(path.join(project, 'node_modules'))).filter((name) => !name.startsWith('.'))
		expect(installed).toEqual(['@planstream'])
		expect(await readdir(path.join(project, 'node_modules/@planstream'))).toEqual(['client'])
	})

	it('stays small in a page', async () => {
		const entry = path.join(project, 'page.js')
		const built = await build({
			configFile: false,
			logLevel: 'error',
			root: project,
			build: { lib: { entry, formats: ['es'], fileName: 'page' }, write: false, minify: true },
		})
		const [first] = Array.isArray(built) ? built : [built]
		if (first === undefined || !('output' in first)) throw new Error('Vite built nothing.')
		const { code, imports, moduleIds } = first.output[0]
		expect(gzipSync(code).length).toBeLessThan(MAX_BUNDLE)
		expect(imports).toEqual([])
		expect(moduleIds.map((id) => path.relative(project, id)).filter(isForeign)).toEqual([])
	})

	it('is bundled by esbuild for a page, with nothing else in it', async ({ skip }) => {
		skip(ESBUILD.missing, MATRIX_NOTE)
		const metafile = path.join(directory, 'esbuild.json')
		const options = ['--bundle', '--platform=browser', '--format=esm', '--minify', `--metafile=${metafile}`]
		const args = ['page.js', ...options, `--outfile=${path.join(directory, 'esbuild.js')}`]
		await execute(ESBUILD.command, args, { cwd: project })
		const { inputs } = JSON.parse(readFileSync(metafile, 'utf8')) as { inputs: object }
		expect(Object.keys(inputs).filter(isForeign)).toEqual([])
		expect(gzipSync(readFileSync(path.join(directory, 'esbuild.js'))).length).toBeLessThan(MAX_BUNDLE)
	})

	it.for(COMPILERS)('has types that $name accepts, and that reject wrong calls', async ({ command, missing }, { skip }) => {
		skip(missing, MATRIX_NOTE)
		const said = await compile(project, command, 'types.mts')
		const instantiations = Number(/^Instantiations:\s+(\d+)/m.exec(said)?.[1])
		expect(instantiations).toBeGreaterThan(0)
		expect(instantiations).toBeLessThan(MAX_INSTANTIATIONS)
	})

	it.for(COMPILERS)(
		'has types that $name takes with the libraries of a page or of a worker alone',
		async ({ command, missing }, { skip }) => {
			skip(missing, MATRIX_NOTE)
			for (const lib of [
				['es2022', 'dom'],
				['es2022', 'webworker'],
			]) {
				for (const options of [
					{ module: 'esnext', moduleResolution: 'bundler', verbatimModuleSyntax: true, exactOptionalPropertyTypes: true },
					{ module: 'nodenext' },
				]) {
					await compileWith(project, command, { lib, ...options }, 'plain.mts')
				}
			}
		},
	)

	describe.each(TRANSPORTS)('over %s', (transport) => {
		it.for(NODES)('runs a plan on $name', async ({ command, missing }, { skip }) => {
			skip(missing, MATRIX_NOTE)
			await using server = await startTestServer()
			const folder = path.join(directory, `${path.basename(path.dirname(path.dirname(command)))}-${transport}`)
			await installClient(folder)
			// Node 20 has no WebSocket of its own.
			symlinkSync(path.join(root, 'node_modules/ws'), path.join(folder, 'node_modules/ws'))
			const { stdout } = await execute(command, [path.join(folder, 'node.js'), server.url, transport, 'plan_1'])
			expect(JSON.parse(stdout)).toEqual(SEEN)
		})

		it('runs a plan in a page in Chromium', async ({ skip }) => {
			skip(chromiumIsMissing, CHROMIUM_NOTE)
			await using server = await startTestServer()
			await using opened = await openPage(path.join(project, 'page.js'))
			const seen = await opened.page.evaluate(
				([url, by]) => (window as unknown as PageOfConsumer).runPlan({ url, transport: by }, 'plan_1'),
				[server.url, transport] as const,
			)
			expect(seen).toEqual(SEEN)
		})
	})
})

describe('the packed packages with their peer dependencies', () => {
	let folder = ''
	beforeAll(async () => {
		folder = path.join(directory, 'beside')
		await installClient(folder)
		addShared(folder)
		mkdirSync(path.join(folder, 'node_modules/@types'))
		for (const name of ['zod', '@types/react', 'csstype']) {
			symlinkSync(path.join(root, 'node_modules', name), path.join(folder, 'node_modules', name))
		}
	})

	it.for(COMPILERS)('have schemas and hooks with types that $name accepts', async ({ command, missing }, { skip }) => {
		skip(missing, MATRIX_NOTE)
		await compile(folder, command, 'shared.mts', 'react.mts')
	})
})

/** Compiles files of a project as strictly as can be, the types of its packages included, and gives what the compiler said. */
async function compile(folder: string, compiler: string, ...files: string[]): Promise<string> {
	const lib = ['es2023', 'dom', 'dom.iterable', 'dom.asynciterable', 'esnext.disposable']
	return compileWith(folder, compiler, { module: 'nodenext', lib }, ...files)
}

async function compileWith(folder: string, compiler: string, options: object, ...files: string[]): Promise<string> {
	const compilerOptions = { strict: true, noEmit: true, skipLibCheck: false, target: 'es2022', types: [], ...options }
	writeFileSync(path.join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }))
	return (await execute(process.execPath, [compiler, '-p', folder, '--extendedDiagnostics'])).stdout
}

interface PageOfConsumer {
	runPlan(options: { readonly url: string; readonly transport: string }, plan_id: string): Promise<unknown>
}

it('hold the files that the build makes of the contract', async () => {
	const described = await readdir(path.join(root, 'release/server/dist/descriptions'))
	expect(described.sort()).toEqual(['asyncapi.json', 'openapi.json', 'reference.html'])
	expect(await readdir(path.join(root, 'release/shared/dist'))).toContain('schemas.json')
})

it('run the demo to its end by the packed command', async () => {
	const folder = path.join(directory, 'command')
	installAll(folder)
	const { stdout } = await execute(
		process.execPath,
		[path.join(folder, 'node_modules/planstream/bin/planstream.js'), 'demo', '--exit'],
		{
			cwd: folder,
			env: { PATH: process.env.PATH, NO_COLOR: '1' },
		},
	)
	expect(stdout).toMatch(/: completed/)
})
