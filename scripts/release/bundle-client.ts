import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { build, type InlineConfig } from 'tsdown'
import type { Manifest } from './packages.js'

/** The packages of others whose code goes into the client, so that it is installed alone. */
export const BUNDLED: readonly string[] = ['eventsource-parser']

/** The file with the licences of what is bundled. */
export const LICENCES = 'THIRD-PARTY-LICENSES'

/** The types of the client hold what they need of these, so that they need neither them nor zod. */
const TYPES_OF = [/^@planstream\/shared/]

/**
 * Makes the client's entries anew as one file each for code and types, with the licences of what they hold.
 *
 * @param into - the folder of the package; its `dist` is replaced
 */
export async function bundleClient(root: string, { exports = {} }: Manifest, into: string): Promise<void> {
	const cwd = path.join(root, 'client')
	const entry = Object.fromEntries(Object.values(exports).map((target) => [nameOf(target), sourceOf(target)]))
	const common: InlineConfig = {
		cwd,
		config: false,
		entry,
		outDir: path.join(into, 'dist'),
		tsconfig: 'tsconfig.json',
		format: 'esm',
		platform: 'neutral',
		target: 'es2022',
		logLevel: 'error',
		outExtensions: () => ({ js: '.js', dts: '.d.ts' }),
	}
	await build({ ...common, clean: true, dts: false, deps: { alwaysBundle: [...BUNDLED], onlyBundle: [...BUNDLED] } })
	await build({ ...common, clean: false, dts: { emitDtsOnly: true }, deps: { alwaysBundle: TYPES_OF, onlyBundle: false } })
	writeFileSync(path.join(into, LICENCES), licences(root))
}

/** `./dist/react/index.js` is made from `src/react/index.ts` and named `react/index`. */
function nameOf(target: unknown): string {
	const file = (target as { readonly default: string }).default
	return file.replace(/^\.\/dist\//, '').replace(/\.js$/, '')
}

function sourceOf(target: unknown): string {
	return `src/${nameOf(target)}.ts`
}

function licences(root: string): string {
	return BUNDLED.map((name) => `${name}\n\n${readFileSync(path.join(root, 'node_modules', name, 'LICENSE'), 'utf8')}`).join(
		'\n\n',
	)
}
